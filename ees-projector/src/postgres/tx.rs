//! A transaction, inside the schema of one read model.

use sqlx::{PgConnection, Postgres};

use crate::projection::BoxError;

/// A transaction on a read-model database: your statements run on [`connection`](Tx::connection).
///
/// They name the read model's tables plainly: the search path is its schema, then `public`. Don't `await` anything but
/// the database between them, and don't end the transaction: the framework commits.
pub struct Tx {
    inner: sqlx::Transaction<'static, Postgres>,
    /// Who this process is, for leases.
    pub(super) worker: std::sync::Arc<str>,
}

impl Tx {
    pub(super) fn new(inner: sqlx::Transaction<'static, Postgres>, worker: std::sync::Arc<str>) -> Self {
        Self { inner, worker }
    }

    /// The connection, inside the transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    pub(super) async fn end(self) -> Result<(), BoxError> {
        Ok(self.inner.commit().await?)
    }
}
