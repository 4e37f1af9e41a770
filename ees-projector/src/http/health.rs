//! The projections' part of `/health/ready`.

use async_trait::async_trait;
use ees_store::http::HealthCheck;

use crate::{Handle, State, Status};

pub(super) struct Projections(pub(super) Handle);

#[async_trait]
impl HealthCheck for Projections {
    async fn problems(&self) -> Vec<String> {
        self.0.list().await.iter().filter(|status| status.stalled.is_some()).map(describe).collect()
    }
}

/// Leaves out the error itself: anybody can ask for readiness.
fn describe(status: &Status) -> String {
    let Status { name, checkpoint, lag_changesets, .. } = status;
    let how = match status.state {
        State::Following | State::CatchingUp if status.given_up_streams > 0 => {
            "has streams that were given up"
        }
        State::Paused => "is paused",
        State::Stopped => "is stopped",
        _ => "is behind and not moving",
    };
    format!(
        "projection \"{name}\" {how} at checkpoint {checkpoint}, {lag_changesets} changesets behind; \
         GET /projections/{name} says why"
    )
}
