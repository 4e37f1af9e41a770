//! A transaction that owns its connection until it ends.

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use crate::error::BoxError;

/// A transaction on a read-model file: your statements run on [`connection`](Tx::connection).
///
/// Statements block, and may: the framework runs all of a batch on a thread for that. Don't `await` anything slow
/// between them, and don't end the transaction: the framework commits, and finds out.
pub struct Tx {
    connection: OwnedMutexGuard<Connection>,
    lasts: Lasts,
}

/// When what is committed survives a loss of power.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// Within seconds: until then it is gone as a whole.
    Soon,
    /// Once it is committed.
    AtOnce,
}

impl Tx {
    pub(super) fn begin(connection: OwnedMutexGuard<Connection>, lasts: Lasts) -> Result<Self, BoxError> {
        let tx = Self { connection, lasts };
        if lasts == Lasts::AtOnce {
            tx.connection.pragma_update(None, "synchronous", "FULL")?;
        }
        tx.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(tx)
    }

    /// The connection, inside the transaction. Prefer `prepare_cached` for what runs for every event.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn end(self) -> Result<(), BoxError> {
        if self.connection.is_autocommit() {
            return Err(
                "the projection ended the framework's transaction: it must not COMMIT or ROLLBACK".into()
            );
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
        if self.lasts == Lasts::AtOnce
            && let Err(error) = self.connection.pragma_update(None, "synchronous", "NORMAL")
        {
            tracing::debug!(%error, "commits are synced more often than they must");
        }
    }
}
