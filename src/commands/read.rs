//! `ees read`: print a stream, or a part of it.

use clap::Args;
use ees_store::client::Client;
use ees_store::{ChangesetId, EventId, StreamId, StreamQuery, Timestamp, pages, stream_place_since};
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::changeset::{Pretty, PrettyEvent, Record};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::remote::Remote;
use crate::values::moment;

/// Read a stream
///
/// Prints text; with --json, a line of JSON for each changeset or event.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The id of the stream, such as account/42
    stream: StreamId,
    /// The id of the first changeset, or of the first event with --events
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
    /// Begin with what was committed at this time or later, such as 2026-11-26T10:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "from")]
    since: Option<Timestamp>,
    /// The id of the last one [default: the end of the stream]
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Print events instead of changesets
    #[arg(long)]
    events: bool,
    /// The maximum number of changesets or events
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(mut arguments: Arguments, output: &mut Output) -> Outcome {
    let client = arguments.remote.client().await?;
    if let Some(time) = arguments.since {
        let place = stream_place_since(&client, arguments.stream.clone(), time).await;
        let place = place.map_err(|error| Failure::from(error).at("--since"))?;
        arguments.from = if arguments.events { place.event_id.get() } else { place.changeset_id.get() };
    }
    if arguments.events {
        events(&client, arguments, output).await
    } else {
        changesets(&client, arguments, output).await
    }
}

async fn changesets(client: &Client, arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { stream, from, to, limit, .. } = arguments;
    let query = StreamQuery::changesets(stream, ChangesetId::new(from), to.map(ChangesetId::new));
    // Reads page by page, whatever the limit.
    let mut changesets = Box::pin(pages::stream_changesets(client, query).take(limit));
    while let Some(changeset) = changesets.try_next().await? {
        if output.is_json() {
            output.json(&Record::from(changeset))?;
        } else {
            output.line(Pretty { checkpoint: None, changeset: &changeset })?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Event<'a> {
    id: EventId,
    data: &'a RawValue,
}

async fn events(client: &Client, arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { stream, from, to, limit, .. } = arguments;
    let (first, last) = (EventId::new(from), to.map(EventId::new));
    let query = StreamQuery::events(stream, first, last);
    let mut changesets = Box::pin(pages::stream_changesets(client, query));
    let mut left = limit;
    while left > 0
        && let Some(changeset) = changesets.try_next().await?
    {
        let selected = |id: &EventId| *id >= first && last.is_none_or(|last| *id <= last);
        let at = || format!("changeset {} of stream \"{}\"", changeset.changeset_id, changeset.stream_id);
        let numbered = changeset.numbered_events();
        let numbered = numbered.map_err(|quarantined| Failure::bad_input(quarantined).at(at()))?;
        for (id, event) in numbered.filter(|(id, _)| selected(id)).take(left) {
            left -= 1;
            if output.is_json() {
                let data: &RawValue = serde_json::from_str(event).map_err(Failure::other)?;
                output.json(&Event { id, data })?;
            } else {
                output.line(PrettyEvent { id, event })?;
            }
        }
    }
    Ok(())
}
