//! Where `GET /streams` takes its numbers from.

use async_trait::async_trait;

use crate::{Result, Statistics};

/// Where the API takes its [`Statistics`] from: a read model, which runs apart from the store.
#[async_trait]
pub trait StatisticsSource: Send + Sync + 'static {
    /// Returns the counts so far; zeros before the first run.
    ///
    /// # Errors
    /// When the read model can't be read.
    async fn statistics(&self) -> Result<Statistics>;
}
