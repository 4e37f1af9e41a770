//! What lies between a process and the database, if a test says so.

use futures::future::BoxFuture;

/// Delays and fails calls to a database, as the way to a server does on a bad day. For tests: see
/// [`Database::over`](super::Database::over).
pub trait Network: Send + Sync + 'static {
    /// Is awaited before each call. After an error, the database has not got the call.
    fn call(&self) -> BoxFuture<'_, Result<(), Lost>>;

    /// Is awaited after each commit. After an error, the database has committed, and nobody was told.
    fn answer(&self) -> BoxFuture<'_, Result<(), Lost>>;
}

/// A call or its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection to the database was lost")]
pub struct Lost;
