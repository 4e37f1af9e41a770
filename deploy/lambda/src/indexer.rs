//! Gives changesets their checkpoints.

use std::time::{Duration, Instant};

use aws_lambda_events::dynamodb::{Event as Records, EventRecord};
use ees_projector::lambda::{changeset, changeset_id, deadline, metric};
use ees_store::dynamodb::{Candidate, Indexer};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::{Value, json};

use crate::environment::variable;
use crate::{Environment, calls};

/// A sweep reads no further part of the table when less time than this is left. Reading a part and indexing
/// its changesets may each be retried for as long as the store retries, plus one attempt.
const MARGIN: Duration = Duration::from_secs(35);

/// The time from the end of one sweep to the next. An hour less than a day, so that a daily schedule is not
/// too early every second time.
const SWEEP_EVERY: Duration = Duration::from_secs(23 * 60 * 60);

/// Serves the table's stream, and a schedule that sweeps for changesets that the stream missed, until the
/// runtime ends the process.
///
/// # Errors
/// When the table can't be used, or when the process does not run in a Lambda runtime.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let indexer = &Indexer::open(&environment.config, &environment.table).await?;
    let stack = &variable("EES_STACK")?;
    calls::serve(environment, |call: LambdaEvent<Value>| async move {
        let done = if call.payload.get("Records").is_some() {
            index(indexer, &serde_json::from_value(call.payload)?).await.map(|n| json!({ "indexed": n }))
        } else {
            sweep(indexer, deadline(&call.context, MARGIN)).await
        };
        let set_aside = indexer.set_aside() as u64;
        if set_aside > 0 {
            // An alarm waits for it.
            println!("{}", metric("SetAsideStreams", &[("Stack", stack)], set_aside));
        }
        done
    })
    .await
}

/// Indexes the changesets in a batch of records. Returns how many.
///
/// # Errors
/// When the batch must be delivered again. Changesets that were indexed stay indexed, and repetitions do no
/// harm.
pub async fn index(indexer: &Indexer, records: &Records) -> Result<usize, Error> {
    let mut candidates = Vec::with_capacity(records.records.len());
    for record in &records.records {
        match changeset(record) {
            Ok(Some(changeset)) => candidates.push(Candidate {
                size_bytes: changeset.size_bytes() + changeset.stream_id.as_str().len(),
                stream_id: changeset.stream_id,
                changeset_id: changeset.changeset_id,
            }),
            Ok(None) => {}
            // It must not hold up the other records for ever. Its place needs no more than its key.
            Err(error) => {
                tracing::error!(
                    record = record.event_id,
                    error,
                    "a record of the table's stream can't be read; it gets its place in the order all the same, if it has a key"
                );
                candidates.extend(keyed(record));
            }
        }
    }
    Ok(indexer.index(candidates).await?)
}

/// The changeset of a record, as its key tells.
fn keyed(record: &EventRecord) -> Option<Candidate> {
    let (stream_id, changeset_id) = changeset_id(record)?;
    let size_bytes = usize::try_from(record.change.size_bytes).unwrap_or_default();
    Some(Candidate { stream_id, changeset_id, size_bytes })
}

async fn sweep(indexer: &Indexer, until: Instant) -> Result<Value, Error> {
    let Some(swept) = indexer.sweep_if_due(SWEEP_EVERY, until).await? else {
        return Ok(json!({ "is_due": false }));
    };
    tracing::info!(
        items = swept.items,
        indexed = swept.indexed,
        read_units = swept.read_units,
        is_done = swept.is_done,
        "the sweep has read a part of the table"
    );
    Ok(
        json!({ "items": swept.items, "indexed": swept.indexed, "read_units": swept.read_units, "is_done": swept.is_done }),
    )
}
