//! `ees projections passed`: what each projection and reactor did with one changeset.

use clap::Args;
use ees_projector::{Kind, ParkedStream, State, Status};
use ees_store::client::Client;
use ees_store::{ChangesetId, ChangesetLog as _, Checkpoint, StreamId, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::projection::ProjectionClient;
use crate::remote::Remote;
use crate::table::table;

/// Show which projections and reactors of the server have passed a changeset, skipped it or parked it
#[derive(Args)]
pub(super) struct Arguments {
    /// The stream
    stream: StreamId,
    /// The id of the changeset
    changeset: ChangesetId,
    #[command(flatten)]
    remote: Remote,
}

/// What a projection or reactor did with a changeset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
enum Verdict {
    /// It has applied it, or its filter leaves it out.
    Passed,
    /// An operator skipped it.
    Skipped,
    /// It waits with its stream, whose first parked changeset this is.
    Parked { first: ChangesetId, since: Timestamp },
    /// It is paused before it.
    PausedBefore,
    /// So many changesets come before it.
    NotYet { changesets_before: u64 },
    /// Some partitions have passed it.
    Perhaps,
    /// The process does not know where the read model is.
    Unknown,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    kind: Kind,
    #[serde(flatten)]
    verdict: Verdict,
}

pub(super) async fn run(Arguments { stream, changeset, remote }: Arguments, output: &mut Output) -> Outcome {
    let client = remote.client().await?;
    let Some(place) = client.locate(&stream, changeset).await? else {
        let message =
            format!("stream \"{stream}\" has no changeset {changeset}, or it has no checkpoint yet");
        return Err(Failure::new(Exit::NotFound, "CHANGESET_NOT_FOUND", message));
    };
    let statuses = ProjectionClient::all(&client).await?;
    let mut lines = Vec::with_capacity(statuses.len());
    for status in &statuses {
        let parked = parked(&client, status, &stream).await?;
        let verdict = verdict(status, parked.as_ref(), changeset, place);
        lines.push(Line { name: &status.name, kind: status.kind, verdict });
    }
    let whole =
        json!({"stream_id": stream, "changeset_id": changeset, "checkpoint": place, "projections": lines});
    let rows = lines.iter().map(|Line { name, verdict, .. }| {
        let (word, more) = words(verdict);
        [(*name).to_owned(), word.to_owned(), more]
    });
    output.either(&whole, table(["NAME", "CHANGESET", ""], rows))
}

async fn parked(client: &Client, status: &Status, stream: &StreamId) -> Outcome<Option<ParkedStream>> {
    if status.parked_streams == 0 {
        return Ok(None);
    }
    let parked = ProjectionClient::new(client.clone(), status.name.clone()).parked().await?;
    Ok(parked.into_iter().find(|parked| parked.stream_id == *stream))
}

fn verdict(
    status: &Status,
    parked: Option<&ParkedStream>,
    changeset: ChangesetId,
    place: Checkpoint,
) -> Verdict {
    if matches!(status.state, State::Starting | State::Absent) {
        return Verdict::Unknown;
    }
    if let Some(ParkedStream { first, since, .. }) = parked.filter(|parked| changeset >= parked.first) {
        return Verdict::Parked { first: *first, since: *since };
    }
    if status.skipped.contains(&place.get()) {
        return Verdict::Skipped;
    }
    let partitions: Vec<_> = status.partitions.iter().map(|partition| partition.checkpoint).collect();
    let positions = if partitions.is_empty() { vec![status.checkpoint] } else { partitions };
    if positions.iter().all(|checkpoint| *checkpoint > place) {
        Verdict::Passed
    } else if positions.iter().any(|checkpoint| *checkpoint > place) {
        Verdict::Perhaps
    } else if status.pause.is_some() && status.checkpoint == place {
        Verdict::PausedBefore
    } else {
        Verdict::NotYet { changesets_before: place.get().saturating_sub(status.checkpoint.get()) }
    }
}

fn words(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Passed => ("passed", String::new()),
        Verdict::Skipped => ("skipped", "an operator left it out".to_owned()),
        Verdict::Parked { first, since } => {
            ("parked", format!("the stream waits from changeset {first} on, since {since}"))
        }
        Verdict::PausedBefore => ("paused before it", String::new()),
        Verdict::NotYet { changesets_before } => {
            ("not yet", format!("{} before it", counted(*changesets_before, "changeset")))
        }
        Verdict::Perhaps => ("perhaps", "some of its partitions have passed it".to_owned()),
        Verdict::Unknown => ("unknown", "this process does not know where the read model is".to_owned()),
    }
}
