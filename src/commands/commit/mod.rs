//! `ees commit`: append events to a stream.

mod refusal;

use std::time::Duration;

use clap::Args;
use ees_store::{
    ChangesetId, Checkpoint, Commit, EventId, Events, Expectation, IdempotencyKey, Json, StreamId, StreamType,
};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::projection::{ProjectionClient, Until};
use crate::remote::Remote;
use crate::shell::quoted;
use crate::values::{seconds, text_or_file};

/// Append events to a stream
///
/// Every commit checks for concurrent changes: name the changeset or the event that you expect to be the
/// stream's last. By default, the stream must not exist yet.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The id of the stream, such as account/42
    stream: StreamId,
    /// The events as a JSON array, or @FILE to read them from a file, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", required_unless_present = "event", conflicts_with = "event")]
    events: Option<String>,
    /// One event, any JSON value; repeat the flag for several events
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    event: Vec<String>,
    /// Metadata of the commit as a JSON object, or @FILE to read it from a file
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    metadata: String,
    /// The expected id of the stream's last changeset
    #[arg(long, value_name = "N", conflicts_with = "expected_last_event")]
    expected_last_changeset: Option<ChangesetId>,
    /// The expected id of the stream's last event
    #[arg(long, value_name = "N")]
    expected_last_event: Option<EventId>,
    /// The type of the stream, which its first commit sets
    #[arg(long, value_name = "TYPE")]
    stream_type: Option<StreamType>,
    /// A key that identifies the commit: the store accepts each key only once, so you can retry safely
    /// [default: a random key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<IdempotencyKey>,
    /// Wait until this projection has applied the commit. Exits with code 10 if the commit is stored and the
    /// wait fails
    #[arg(long, value_name = "PROJECTION")]
    wait_for: Option<String>,
    /// Let the server answer once this projection has applied the commit: one call, where --wait-for needs three.
    /// Exits with code 10 if the commit is stored and not applied in time
    #[arg(long, value_name = "PROJECTION", conflicts_with = "wait_for")]
    visible_in: Option<String>,
    /// The longest time to wait; with --visible-in up to 60
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Serialize)]
struct Summary<'a> {
    stream_id: &'a StreamId,
    changeset_id: ChangesetId,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let client = arguments.remote.client().await?;
    let (wait_for, visible_in, timeout) =
        (arguments.wait_for.clone(), arguments.visible_in.clone(), arguments.timeout);
    let commit = commit_of(arguments)?;
    let projection = wait_for.clone().map(|name| ProjectionClient::new(client.clone(), name));
    if let Some(projection) = &projection {
        let checked = projection.check_is_running().await;
        checked.map_err(|failure| failure.with_detail("nothing was committed"))?;
    }
    let answer = match &visible_in {
        Some(name) => client.commit_visible_in(&commit, name, timeout).await,
        None => client.try_commit(&commit).await.map(|stored| (stored, true)),
    };
    let (stored, is_visible) = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(refusal::failure(&client, &commit, visible_in, error).await),
    };
    let stream_id = commit.stream_id;

    let (changeset_id, checkpoint) = (stored.changeset_id, stored.checkpoint);
    let at = checkpoint.map(|checkpoint| format!(", checkpoint {checkpoint}")).unwrap_or_default();
    let text = format!("{stream_id}: changeset {changeset_id}{at}");
    let stored_all_the_same = |failure: Failure| {
        let failure = failure
            .after(format!("committed as changeset {changeset_id} of \"{stream_id}\""))
            .with_member("stream_id", &stream_id)
            .with_member("changeset_id", &changeset_id)
            .with_member("checkpoint", &checkpoint);
        match wait_for.as_ref().or(visible_in.as_ref()) {
            None => failure.with_hint("do not commit again"),
            Some(name) => failure.with_hint(format!(
                "do not commit again; wait with `ees projections status {} --stream {} --changeset {changeset_id} \
                 --timeout 60`",
                quoted(name),
                quoted(stream_id.as_str())
            )),
        }
    };
    // Printed before the wait: the commit is stored even if the wait fails.
    output
        .either(&Summary { stream_id: &stream_id, changeset_id, checkpoint }, text)
        .and_then(|()| output.flush())
        .map_err(stored_all_the_same)?;
    if let Some(name) = visible_in.as_ref().filter(|_| !is_visible) {
        let late = format!("\"{name}\" has not applied it within {timeout:?}");
        return Err(stored_all_the_same(Failure::new(Exit::TimedOut, "TIMEOUT", late)));
    }
    let Some(projection) = projection else { return Ok(()) };
    let until = checkpoint
        .map_or_else(|| Until::Changeset { stream_id: stream_id.clone(), changeset_id }, Until::Checkpoint);
    match projection.status_at(&until, timeout).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(stored_all_the_same(failure)),
    }
}

fn commit_of(arguments: Arguments) -> Outcome<Commit> {
    let events = match &arguments.events {
        Some(events) => text_or_file(events)?,
        None => array_of(&arguments.event)?,
    };
    let expectation = match (arguments.expected_last_changeset, arguments.expected_last_event) {
        (Some(id), _) => Expectation::LastChangeset(id),
        (None, Some(id)) => Expectation::LastEvent(id),
        (None, None) => Expectation::NewStream,
    };
    let metadata = Json::parse(&text_or_file(&arguments.metadata)?)?;
    let mut commit =
        Commit::new(arguments.stream, expectation, Events::parse(&events)?).with_metadata(metadata)?;
    commit.stream_type = arguments.stream_type;
    commit.idempotency_key = arguments.idempotency_key;
    Ok(commit)
}

/// Checks each event separately: `--event 1,2` must not become two events.
fn array_of(events: &[String]) -> Outcome<String> {
    let parse = |event: &String| match Json::parse(event) {
        Ok(json) => Ok(json.to_string()),
        Err(e) => Err(Failure::bad_input(format!("--event {event:?} is not valid JSON: {e}"))),
    };
    Ok(format!("[{}]", events.iter().map(parse).collect::<Outcome<Vec<_>>>()?.join(",")))
}
