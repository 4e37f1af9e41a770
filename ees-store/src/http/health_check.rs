//! What `/health/ready` looks at besides the store.

use async_trait::async_trait;

/// A part of the server besides the store whose problems the operator should see, such as a paused
/// projection.
///
/// `/health/ready` reports its problems, but they do not make the server unready.
#[async_trait]
pub trait HealthCheck: Send + Sync + 'static {
    /// Returns the current problems, one sentence each. Anyone may read them: no internals.
    async fn problems(&self) -> Vec<String>;
}
