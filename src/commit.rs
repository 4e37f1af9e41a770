//! `ees commit`: append to a stream.

use std::time::Duration;

use clap::Args;
use ees_store::{
    ChangesetId, Checkpoint, Commit, EventId, EventStore, Events, Expectation, IdempotencyKey, Json,
    StreamId, StreamType,
};
use serde::Serialize;

use crate::arguments::{seconds, text};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::projections::wait::{self, Until};
use crate::remote::Remote;

/// Append events to a stream
///
/// Concurrency control is never optional: say what you believe to be the stream's last changeset or event. With
/// neither, the stream must not exist yet.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The stream's id, such as account/42
    stream: StreamId,
    /// The events: a JSON array, @FILE to read it from, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", required_unless_present = "event", conflicts_with = "event")]
    events: Option<String>,
    /// An event, any JSON; may be given several times
    #[arg(long, value_name = "JSON", allow_negative_numbers = true)]
    event: Vec<String>,
    /// A JSON object about the commit, or @FILE to read it from
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    metadata: String,
    /// The number of the stream's last changeset
    #[arg(long, value_name = "N", conflicts_with = "expected_last_event")]
    expected_last_changeset: Option<ChangesetId>,
    /// The number of the stream's last event
    #[arg(long, value_name = "N")]
    expected_last_event: Option<EventId>,
    /// The stream's type, fixed by its first commit
    #[arg(long, value_name = "TYPE")]
    stream_type: Option<StreamType>,
    /// Names the commit: with the same key it is stored once, however often it is sent [default: a random one]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<IdempotencyKey>,
    /// Wait until this projection has applied it
    #[arg(long, value_name = "PROJECTION")]
    wait_for: Option<String>,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Serialize)]
struct Stored<'a> {
    stream_id: &'a StreamId,
    changeset_id: ChangesetId,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let client = arguments.remote.client().await?;
    let (wait_for, timeout) = (arguments.wait_for.clone(), arguments.timeout);
    let commit = commit_of(arguments)?;
    let stream_id = commit.stream_id.clone();
    let stored = client.commit(commit).await?;

    let (changeset_id, checkpoint) = (stored.changeset_id, stored.checkpoint);
    let place = checkpoint.map(|checkpoint| format!(", checkpoint {checkpoint}")).unwrap_or_default();
    let text = format!("{stream_id}: changeset {changeset_id}{place}");
    output.either(&Stored { stream_id: &stream_id, changeset_id, checkpoint }, text)?;
    // It is stored, whatever becomes of the waiting.
    output.flush()?;
    if let Some(projection) = wait_for {
        let until = checkpoint.map_or(Until::Changeset { stream_id, changeset_id }, Until::Checkpoint);
        wait::status_once(&client, &projection, &until, timeout).await?;
    }
    Ok(())
}

fn commit_of(arguments: Arguments) -> Outcome<Commit> {
    let events = match &arguments.events {
        Some(events) => text(events)?,
        None => array_of(&arguments.event)?,
    };
    let expectation = match (arguments.expected_last_changeset, arguments.expected_last_event) {
        (Some(id), _) => Expectation::LastChangeset(id),
        (None, Some(id)) => Expectation::LastEvent(id),
        (None, None) => Expectation::NewStream,
    };
    let metadata = Json::parse(&text(&arguments.metadata)?)?;
    let mut commit =
        Commit::new(arguments.stream, expectation, Events::parse(&events)?).with_metadata(metadata)?;
    commit.stream_type = arguments.stream_type;
    commit.idempotency_key = arguments.idempotency_key;
    Ok(commit)
}

fn parsed(flag: &str, text: &str) -> Outcome<String> {
    let json =
        Json::parse(text).map_err(|e| Failure::bad_input(format!("{flag} {text:?} is no JSON: {e}")))?;
    Ok(json.to_string())
}

/// Each is checked by itself: what is joined here must not become another number of events.
fn array_of(events: &[String]) -> Outcome<String> {
    let events = events.iter().map(|event| parsed("--event", event));
    Ok(format!("[{}]", events.collect::<Outcome<Vec<_>>>()?.join(",")))
}
