//! Estimates what a rebuild on DynamoDB writes: applies the first changesets of the log in memory, and counts the
//! items of the transactions that would write their rows.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ees_store::Checkpoint;
use futures::FutureExt;

use crate::database::Database;
use crate::error::{chain, panicked};
use crate::preview::WriteUnits;
use crate::worker::core::Core;
use crate::worker::explain::observed::{Keeps, Observed, TooManyRows};
use crate::worker::operations::operation::OperateError;

/// The most changesets of the sample.
const SAMPLE_MAX: u64 = 20_000;
/// Changesets that are read at once.
const PAGE: usize = 1_000;
/// The most rows of a transaction: 100 items, of which one is the projection's own.
const ROWS_MAX: usize = 99;
/// What an item takes besides its row: the names of its keys, and `@` with 32 digits in its partition's name.
const ITEM_BYTES: u64 = 53;
/// A transaction writes each started KiB of an item twice.
const UNITS_OF_KIB: u64 = 2;

/// The rows that the next transaction writes, with their bytes.
#[derive(Default)]
struct Transaction {
    rows: HashMap<(String, String), u64>,
    changesets: usize,
}

impl Transaction {
    fn commit(&mut self, units: &mut WriteUnits) {
        if self.changesets == 0 {
            return;
        }
        let of_rows: u64 =
            self.rows.values().map(|bytes| UNITS_OF_KIB * (bytes + ITEM_BYTES).div_ceil(1024)).sum();
        units.units += of_rows + UNITS_OF_KIB;
        units.rows += self.rows.len() as u64;
        units.transactions += 1;
        *self = Self::default();
    }
}

impl<D: Database> Core<D> {
    /// Estimates the write units of a rebuild on DynamoDB.
    pub(crate) async fn write_units(self: Arc<Self>) -> Result<WriteUnits, OperateError> {
        self.processor.require_read_model()?;
        let explainable = self.explainable().ok_or(OperateError::NotSupported(
            "this projection has statements of its own: what it writes to DynamoDB can't be estimated. Folds can be",
        ))?;
        let head = self.head().await?.checkpoint;
        let end = Checkpoint::new(head.get().min(SAMPLE_MAX));
        let mut rows = Observed::new("", "", Keeps::Everything).noting_writes();
        let failed = |error: &crate::BoxError| OperateError::Failed(chain(&**error));
        explainable.create_tables(&mut rows).await.map_err(|error| failed(&error))?;
        let mut sampled = WriteUnits::default();
        let (mut transaction, mut at) = (Transaction::default(), Checkpoint::START);
        'sample: while at < end {
            let batch = self.fetch_until(at, end, PAGE).await?;
            if batch.next <= at {
                break;
            }
            for changeset in 0..batch.changesets.len() {
                let events: Vec<_> = batch.events_of(changeset..changeset + 1).collect();
                let applied =
                    AssertUnwindSafe(explainable.apply(&batch, &events, &mut rows)).catch_unwind().await;
                match applied.unwrap_or_else(|panic| Err(panicked("the projection", &*panic))) {
                    Ok(()) => {}
                    Err(error) if error.is::<TooManyRows>() => {
                        at = batch.position_before(changeset);
                        break 'sample;
                    }
                    // It writes nothing: it would be parked, or corrected first.
                    Err(error) => tracing::debug!(error = chain(&*error), "left out of the estimate"),
                }
                let written = rows.take_writes();
                let new = written.iter().filter(|(row, _)| !transaction.rows.contains_key(row)).count();
                let is_full = transaction.rows.len() + new > ROWS_MAX
                    || transaction.changesets >= self.settings.batch_changesets_max.max(1);
                if is_full {
                    transaction.commit(&mut sampled);
                }
                transaction.rows.extend(written);
                transaction.changesets += 1;
            }
            at = batch.next;
        }
        transaction.commit(&mut sampled);
        Ok(sampled.extrapolated(at, head))
    }
}
