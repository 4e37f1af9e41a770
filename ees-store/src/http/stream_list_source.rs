//! Where `GET /stream-list` takes its streams from.

use async_trait::async_trait;

use crate::{Result, StreamListPage, StreamListQuery};

/// Where the API takes lists of streams from: a read model, which runs apart from the store.
#[async_trait]
pub trait StreamListSource: Send + Sync + 'static {
    /// Returns a page of the list; `None` until the read model is there.
    ///
    /// # Errors
    /// When the read model can't be read. [`Error::InvalidRequest`](crate::Error::InvalidRequest) when it can't be
    /// read in this order.
    async fn streams(&self, query: StreamListQuery) -> Result<Option<StreamListPage>>;
}
