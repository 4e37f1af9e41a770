//! A transaction in the schema of one read model.

use std::sync::Arc;

use sqlx::{PgConnection, Postgres};

use super::queue::Queue;
use super::sql::quoted;
use crate::error::BoxError;

/// SQLSTATE of a statement in a transaction that has failed.
const FAILED: &str = "25P02";

/// A transaction on a read-model database. Your statements run on its [`connection`](Tx::connection).
///
/// Name your tables without a schema: the search path is the read model's schema, then `public`. Don't
/// `await` anything but the database between your statements. Don't end the transaction: the framework
/// commits, and refuses a batch whose transaction was ended.
pub struct Tx {
    inner: sqlx::Transaction<'static, Postgres>,
    /// The schema of the read model, once the transaction has entered it.
    schema: Option<Arc<str>>,
    /// The id of this process's worker.
    pub(super) worker: Arc<str>,
    /// The id of the transaction, once it has entered a read model.
    id: Option<String>,
    /// Whether the projection has used the connection.
    lent: bool,
    /// Queued statements.
    pub(super) queued: Queue,
}

impl Tx {
    pub(super) fn new(inner: sqlx::Transaction<'static, Postgres>, worker: Arc<str>) -> Self {
        Self { inner, schema: None, worker, id: None, lent: false, queued: Queue::default() }
    }

    pub(super) fn enter(&mut self, schema: &str, id: String) {
        self.schema = Some(schema.into());
        self.id = Some(id);
    }

    /// A table's name with its schema. A cached plan for one read model is then never used for another.
    pub(super) fn qualified(&self, table: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
            None => quoted(table),
        }
    }

    /// The connection, inside the transaction. [Queued](Tx::queue) statements may not have run yet: see
    /// [`flush`](Tx::flush).
    pub fn connection(&mut self) -> &mut PgConnection {
        self.lent = true;
        &mut self.inner
    }

    /// The connection for the framework's own statements.
    pub(super) fn inner(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(super) async fn end(mut self) -> Result<(), BoxError> {
        if !self.queued.is_empty() {
            self.flush().await?;
        }
        if self.lent && self.id.is_some() {
            self.is_whole().await?;
        }
        Ok(self.inner.commit().await?)
    }

    /// Checks that the projection has not ended or broken the transaction. PostgreSQL answers the COMMIT of a
    /// failed transaction by a rollback, and that of an ended one by a warning: neither is an error.
    async fn is_whole(&mut self) -> Result<(), BoxError> {
        let asked = sqlx::query_scalar("SELECT pg_current_xact_id_if_assigned()::text");
        let id: Result<Option<String>, sqlx::Error> = asked.fetch_one(&mut *self.inner).await;
        match id {
            Ok(id) if id == self.id => Ok(()),
            Ok(_) => {
                Err("the projection ended the framework's transaction: it must not COMMIT or ROLLBACK".into())
            }
            Err(error) if error.as_database_error().and_then(|e| e.code()).as_deref() == Some(FAILED) => {
                Err("a statement failed, but the projection continued: it must return the error, or run the \
                     statement in a savepoint"
                    .into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
