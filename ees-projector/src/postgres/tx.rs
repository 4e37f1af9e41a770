//! A transaction, inside the schema of one read model.

use std::sync::Arc;

use sqlx::{PgConnection, Postgres};

use super::rows::quoted;
use crate::projection::BoxError;

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
}

impl Tx {
    pub(super) fn new(inner: sqlx::Transaction<'static, Postgres>, worker: Arc<str>) -> Self {
        Self { inner, schema: None, worker }
    }

    pub(super) fn enter(&mut self, schema: &str) {
        self.schema = Some(schema.into());
    }

    /// A table's name with its schema, so that a plan made for one read model is never used for another.
    pub(super) fn qualified(&self, table: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(table)),
            None => quoted(table),
        }
    }

    /// The connection, inside the transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(super) async fn end(self) -> Result<(), BoxError> {
        Ok(self.inner.commit().await?)
    }
}
