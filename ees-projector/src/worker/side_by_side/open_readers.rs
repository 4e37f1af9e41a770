//! Readers whose transaction began before the standby was complete.
//!
//! A transaction with the isolation level repeatable read finds the tables that have the name now, and in
//! them the rows from the time when it began. If the tables were swapped meanwhile, it would see half a read
//! model.

use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::database::{Database, Transaction};
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::runner::Runner;

pub(crate) const LOOK_FOR_READERS_EVERY: Duration = Duration::from_millis(50);
/// The longest time that an operator's request waits for such readers.
const WAIT_MAX: Duration = Duration::from_secs(10);

impl<D: Database> Runner<D> {
    /// Returns `true` if a transaction is open that would see this read model, which is complete now, as it
    /// was before.
    pub(super) async fn is_seen_half_built(&mut self) -> Result<bool, StepError> {
        let open = self.core.read(|tx| async move { Ok(tx.open_transactions().await?) }.boxed()).await?;
        let count = open.len();
        let first_look = self.older_readers.is_none();
        let older = self.older_readers.get_or_insert_with(|| open.clone());
        older.retain(|reader| open.contains(reader));
        if older.is_empty() {
            self.older_readers = None;
            return Ok(false);
        }
        if first_look {
            let projection = self.core.name();
            tracing::info!(
                projection,
                transactions = count,
                "the standby is complete; waiting for older transactions to end before the swap"
            );
        }
        Ok(true)
    }

    pub(crate) fn wait_for_older_readers(&mut self) -> BoxFuture<'_, Result<(), OperateError>> {
        async move {
            let deadline = Instant::now() + WAIT_MAX;
            while self.is_seen_half_built().await? {
                if Instant::now() > deadline {
                    return Err(OperateError::OldReaders);
                }
                tokio::time::sleep(LOOK_FOR_READERS_EVERY).await;
            }
            Ok(())
        }
        .boxed()
    }
}
