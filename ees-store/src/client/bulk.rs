//! Many commits in one request, a line each, where the server takes them.

use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

use super::problem::Problem;
use super::transport::{Call, Failure};
use super::{Client, events};
use crate::{
    ChangesetId, Checkpoint, Commit, Committed, Error, Expectation, IdempotencyKey, Result, TraceContext,
};

/// Commits in one request. A server takes 1,000, but its answer has a time limit, and those of one stream may take their time
/// one after another.
const LINES_MAX: usize = 200;
/// Bytes of one request, for the time limit of slow connections. A single commit may be larger, and is then sent by itself.
const BYTES_MAX: usize = 256 * 1024;

/// Whether the server is known to take one commit in a request, and no more. Clones share it.
#[derive(Clone, Default)]
pub(super) struct OneByOne(Arc<AtomicBool>);

/// Commits in their order, each with a key: what is sent again is stored once.
pub(super) async fn commit_in_order(client: &Client, commits: Vec<Commit>) -> Vec<Result<Committed>> {
    let mut verdicts = Vec::with_capacity(commits.len());
    let keyed = |mut commit: Commit| {
        commit.idempotency_key.get_or_insert_with(IdempotencyKey::random);
        commit
    };
    let mut rest = commits.into_iter().map(keyed).peekable();
    while rest.peek().is_some() {
        let Batch { commits, body } = Batch::take(&mut rest);
        let sent = if commits.len() > 1 && !client.one_by_one.0.load(Relaxed) {
            send(client, &commits, body).await
        } else {
            Sent::NotTogether { has_no_route: false }
        };
        match sent {
            Sent::Answered(answered) => verdicts.extend(answered),
            Sent::NotTogether { has_no_route } => {
                let singly = singly(client, &commits).await;
                // A gateway answers in the same way to a caller who may do nothing at all.
                if has_no_route && singly.iter().any(Result::is_ok) {
                    client.one_by_one.0.store(true, Relaxed);
                }
                verdicts.extend(singly);
            }
        }
    }
    verdicts
}

/// One request for each commit. Where the server is gone or refuses the caller, the rest is not tried.
async fn singly(client: &Client, commits: &[Commit]) -> Vec<Result<Committed>> {
    let mut verdicts: Vec<Result<Committed>> = Vec::with_capacity(commits.len());
    for commit in commits {
        let verdict = match verdicts.last() {
            Some(Err(
                error @ (Error::Unavailable(_)
                | Error::Overloaded
                | Error::Unauthorized
                | Error::Forbidden(_)),
            )) => Err(again(error)),
            _ => events::commit(&client.transport, commit).await.map_err(Error::from),
        };
        verdicts.push(verdict);
    }
    verdicts
}

/// What became of a request with many commits.
enum Sent {
    Answered(Vec<Result<Committed>>),
    /// It is refused as a whole: one by one, each commit gets the answer that is its own. Some may be stored by then, which
    /// their keys tell.
    NotTogether {
        /// The server may have no route for such requests.
        has_no_route: bool,
    },
}

async fn send(client: &Client, commits: &[Commit], body: String) -> Sent {
    let call = Call::post("/changesets", body).of_lines().repeatable();
    let error = match client.transport.send(call).await {
        Ok(answer) => match client.transport.parsed(read(&answer.body, commits)) {
            Ok(verdicts) => return Sent::Answered(verdicts),
            Err(error) => error,
        },
        Err(Failure::Problem(problem)) if !problem.passes() && !problem.is_about_the_caller() => {
            return Sent::NotTogether { has_no_route: problem.may_be_about_the_route() };
        }
        Err(failure) => failure.into(),
    };
    Sent::Answered(commits.iter().map(|_| Err(again(&error))).collect())
}

/// What a line of an answer says.
#[derive(Deserialize)]
struct Line {
    changeset_id: Option<ChangesetId>,
    checkpoint: Option<Checkpoint>,
    error: Option<String>,
    message: Option<String>,
}

/// The verdicts of an answer, one for each of these commits.
pub(crate) fn read(body: &[u8], commits: &[Commit]) -> serde_json::Result<Vec<Result<Committed>>> {
    let lines = serde_json::Deserializer::from_slice(body).into_iter::<Line>();
    let lines = lines.collect::<serde_json::Result<Vec<_>>>()?;
    if lines.len() != commits.len() {
        let why = format!("there are {} lines for {} commits", lines.len(), commits.len());
        return Err(serde_json::Error::custom(why));
    }
    let verdicts = lines.into_iter().zip(commits).map(|(line, commit)| match line {
        Line { changeset_id: Some(changeset_id), checkpoint, .. } => {
            Ok(Committed { changeset_id, checkpoint })
        }
        Line { error, message, .. } => {
            let problem = Problem::of_line(error.unwrap_or_default(), message.unwrap_or_default());
            Err(problem.into_commit_error(commit))
        }
    });
    Ok(verdicts.collect())
}

/// The error once more, for another commit that shares it.
fn again(error: &Error) -> Error {
    match error {
        Error::Overloaded => Error::Overloaded,
        Error::Unauthorized => Error::Unauthorized,
        Error::Forbidden(why) => Error::Forbidden(why.clone()),
        Error::InvalidRequest(why) => Error::InvalidRequest(why.clone()),
        Error::Unavailable(why) => Error::Unavailable(why.clone()),
        other => Error::Storage { detail: other.to_string(), source: other.code().into() },
    }
}

/// Commits for one request.
#[derive(Default)]
struct Batch {
    commits: Vec<Commit>,
    body: String,
}

impl Batch {
    /// Takes as many as fit, and one at least.
    fn take(rest: &mut Peekable<impl Iterator<Item = Commit>>) -> Self {
        let mut batch = Self::default();
        while let Some(commit) = rest.peek() {
            let line = line(commit);
            let fits = batch.commits.len() < LINES_MAX
                && line.as_ref().is_some_and(|line| batch.body.len() + line.len() <= BYTES_MAX);
            if !fits && !batch.commits.is_empty() {
                break;
            }
            batch.commits.extend(rest.next());
            batch.body.push_str(&line.unwrap_or_default());
            if !fits {
                break;
            }
        }
        batch
    }
}

/// A commit as a line; `None` for one that can't be sent, of which the single call says why.
pub(crate) fn line(commit: &Commit) -> Option<String> {
    let events = commit.events.as_json().ok().filter(|_| commit.recorded_at.is_none())?;
    let expected = match commit.expectation {
        Expectation::NewStream | Expectation::LastChangeset(_) => "expected_last_changeset",
        Expectation::LastEvent(_) => "expected_last_event",
    };
    let texts = [
        ("idempotency_key", commit.idempotency_key.as_ref().map(IdempotencyKey::as_str)),
        ("stream_type", commit.stream_type.as_ref().map(crate::StreamType::as_str)),
        ("traceparent", commit.trace.as_ref().map(TraceContext::traceparent)),
        ("tracestate", commit.trace.as_ref().and_then(TraceContext::tracestate)),
    ];
    let texts =
        texts.into_iter().filter_map(|(name, text)| Some(format!(",\"{name}\":{}", Value::from(text?))));
    Some(format!(
        "{{\"stream_id\":{},\"{expected}\":{}{},\"events\":{events},\"metadata\":{}}}\n",
        Value::from(commit.stream_id.as_str()),
        commit.expectation.number(),
        texts.collect::<String>(),
        commit.metadata
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Events, Refusal};

    fn commit(bytes: usize) -> Commit {
        let events = Events::parse(&format!("[\"{}\"]", "x".repeat(bytes))).unwrap();
        Commit::new("a \"b\"".parse().unwrap(), Expectation::NewStream, events)
    }

    fn sizes(commits: impl IntoIterator<Item = Commit>) -> Vec<usize> {
        let mut rest = commits.into_iter().peekable();
        let mut sizes = Vec::new();
        while rest.peek().is_some() {
            sizes.push(Batch::take(&mut rest).commits.len());
        }
        sizes
    }

    #[test]
    fn a_request_has_as_many_commits_as_fit_and_one_at_least() {
        assert_eq!(sizes([]), [0; 0]);
        assert_eq!(sizes((0..LINES_MAX + 1).map(|_| commit(1))), [LINES_MAX, 1]);
        assert_eq!(sizes([commit(1), commit(BYTES_MAX), commit(1), commit(1)]), [1, 1, 2]);
        let timed = commit(1).with_recorded_at(crate::Timestamp::now());
        assert_eq!(
            sizes([commit(1), timed, commit(1), commit(1)]),
            [1, 1, 2],
            "the single call says why not"
        );
    }

    #[test]
    fn each_line_is_the_verdict_of_its_commit() {
        let body = b"{\"changeset_id\":1,\"checkpoint\":7}\n\
                     {\"error\":\"IDEMPOTENCY_KEY_REUSED\",\"message\":\"why\"}\n\
                     {\"error\":\"OF_LATER_VERSIONS\",\"message\":\"why\"}\n";
        let commits = [commit(1), commit(1), commit(1)];
        let verdicts = read(body, &commits).unwrap();
        assert_eq!(verdicts[0].as_ref().unwrap().checkpoint, Some(Checkpoint::new(7)));
        assert!(matches!(verdicts[1], Err(Error::Refused(Refusal::KeyReused))));
        assert!(matches!(verdicts[2], Err(Error::InvalidRequest(_))));
        assert!(read(body, &commits[..2]).unwrap_err().to_string().contains("3 lines for 2 commits"));
    }
}
