//! A transaction, inside the schema of one read model.

use std::sync::Arc;

use sqlx::{PgConnection, Postgres};

use super::queue::Queue;
use super::sql::quoted;
use crate::error::BoxError;

/// The transaction has failed: it takes no more statements.
const FAILED: &str = "25P02";

/// A transaction on a read-model database: your statements run on [`connection`](Tx::connection).
///
/// They name the read model's tables plainly: the search path is its schema, then `public`. Don't `await` anything but
/// the database between them, and don't end the transaction: the framework commits.
pub struct Tx {
    inner: sqlx::Transaction<'static, Postgres>,
    /// Where the read model's tables lie, once it is known which one it is.
    schema: Option<Arc<str>>,
    /// Who this process is.
    pub(super) worker: Arc<str>,
    /// The transaction's id, once it has entered a read model.
    id: Option<String>,
    /// Whether the projection has run statements of its own.
    lent: bool,
    /// Statements that wait to be sent together.
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

    /// A table's name with its schema, so that a plan made for one read model is never used for another.
    pub(super) fn qualified(&self, table: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
            None => quoted(table),
        }
    }

    /// The connection, inside the transaction. What was [queued](Tx::queue) has not run yet: see [`flush`](Tx::flush).
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

    /// Whether the projection has left the transaction as it was. PostgreSQL answers the COMMIT of one that has failed by
    /// a rollback, and that of one that is over by a warning: neither is an error.
    async fn is_whole(&mut self) -> Result<(), BoxError> {
        let asked = sqlx::query_scalar("SELECT pg_current_xact_id_if_assigned()::text");
        let id: Result<Option<String>, sqlx::Error> = asked.fetch_one(&mut *self.inner).await;
        match id {
            Ok(id) if id == self.id => Ok(()),
            Ok(_) => {
                Err("the projection ended the framework's transaction: it must not COMMIT or ROLLBACK".into())
            }
            Err(error) if error.as_database_error().and_then(|e| e.code()).as_deref() == Some(FAILED) => {
                Err("a statement failed and the projection went on: it must return the error, or run the \
                     statement in a savepoint"
                    .into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
