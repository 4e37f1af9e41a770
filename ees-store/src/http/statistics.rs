//! `GET /streams`: how much there is.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;

use super::{App, Problem};
use crate::{Result, Statistics};

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
