//! Gives changesets their place in the global order.

use std::time::{Duration, Instant};

use aws_lambda_events::dynamodb::Event as Records;
use ees_projector::lambda::{changeset, deadline};
use ees_store::dynamodb::{Candidate, Indexer};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

use crate::Environment;

/// So long before its time is over a sweep begins no other part: looking at one and indexing what it has may each be tried for
/// as long as the store's patience, and an attempt more.
const MARGIN: Duration = Duration::from_secs(35);

/// From the end of one sweep to the next: an hour less than a day, so that a schedule of once a day does not come too early each
/// second time.
const SWEEP_EVERY: Duration = Duration::from_secs(23 * 60 * 60);

/// Serves the table's stream, and a schedule for what the stream did not tell of, until the runtime ends the process.
///
/// # Errors
/// The table can't be used, or there is no Lambda runtime around it.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let indexer = &Indexer::open(&environment.config, &environment.table).await?;
    lambda_runtime::run(service_fn(|call: LambdaEvent<Value>| async move {
        if call.payload.get("Records").is_some() {
            let indexed = index(indexer, &serde_json::from_value(call.payload)?).await?;
            return Ok::<_, Error>(json!({ "indexed": indexed }));
        }
        sweep(indexer, deadline(&call.context, MARGIN)).await
    }))
    .await
}

/// Indexes what a batch of records tells of. How many changesets it were.
///
/// # Errors
/// All of the batch is to come again. What was indexed stays so: repetitions do no harm.
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
            // It must not hold up the others for ever; if it can be indexed, the sweep does it.
            Err(error) => tracing::error!(record = record.event_id, error, "a record that can't be read"),
        }
    }
    Ok(indexer.index(candidates).await?)
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
        "looked the table through"
    );
    Ok(
        json!({ "items": swept.items, "indexed": swept.indexed, "read_units": swept.read_units, "is_done": swept.is_done }),
    )
}
