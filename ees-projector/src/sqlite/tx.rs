//! A transaction that owns its connection until it ends.

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use crate::error::BoxError;

/// A transaction on a read-model file. Your statements run on its [`connection`](Tx::connection).
///
/// Statements may block: the framework runs the whole batch on a thread for blocking work. Don't `await`
/// anything slow between them. Don't end the transaction either: the framework commits, and refuses a batch
/// whose transaction was ended.
pub struct Tx {
    connection: OwnedMutexGuard<Connection>,
    durability: Durability,
}

/// When a commit is safe against a power loss.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Within seconds. Before that, a power loss undoes the whole transaction.
    Delayed,
    /// As soon as the commit returns.
    Immediate,
}

impl Tx {
    pub(super) fn begin(
        connection: OwnedMutexGuard<Connection>,
        durability: Durability,
    ) -> Result<Self, BoxError> {
        let tx = Self { connection, durability };
        if durability == Durability::Immediate {
            tx.connection.pragma_update(None, "synchronous", "FULL")?;
        }
        tx.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(tx)
    }

    /// The connection, inside the transaction. Use `prepare_cached` for statements that run for every event.
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
        if self.durability == Durability::Immediate
            && let Err(error) = self.connection.pragma_update(None, "synchronous", "NORMAL")
        {
            tracing::debug!(%error, "synchronous = NORMAL could not be restored; commits are slower from now on");
        }
    }
}
