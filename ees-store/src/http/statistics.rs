//! `GET /streams`: how much there is.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, Problem};
use crate::Result;

/// How much a store holds, as a read model of its log has counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "total_streams": 2, "total_changesets": 3, "total_events": 9, "max_stream_length": 2, "statistics_version": 3,
}))]
pub struct Statistics {
    /// Streams with at least one changeset.
    pub total_streams: u64,
    /// Changesets in all streams.
    pub total_changesets: u64,
    /// Events in all changesets.
    pub total_events: u64,
    /// Changesets in the longest stream.
    pub max_stream_length: u64,
    /// The checkpoint up to which all this was counted: the next one to read.
    pub statistics_version: u64,
}

/// Where the API takes its [`Statistics`] from: a read model, which runs apart from the store.
#[async_trait]
pub trait StatisticsSource: Send + Sync + 'static {
    /// What has been counted so far; zeros before the first run.
    ///
    /// # Errors
    /// The read model can't be read.
    async fn statistics(&self) -> Result<Statistics>;
}

/// What a server without a statistics projection tells.
pub(super) struct NotCounted;

#[async_trait]
impl StatisticsSource for NotCounted {
    async fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}

/// How much the store holds.
///
/// The read model of the statistics projection, which follows the log: `statistics_version` tells how far it got.
#[utoipa::path(
    get, path = "/streams", tag = "read", operation_id = "statistics",
    responses((status = 200, description = "Counted so far; zeros before the first run.", body = Statistics)),
)]
pub(super) async fn statistics(State(app): State<App>) -> Result<Json<Statistics>, Problem> {
    Ok(Json(app.statistics.statistics().await?))
}
