//! Whether projections show a commit: `POST /streams/{stream_id}?visible_in=NAME`.

use std::time::Duration;

use async_trait::async_trait;
use ees_store::http::{Problem, Visibility};
use ees_store::{Committed, StreamId};

use crate::Handle;

/// The projections of this process.
pub(super) struct Projections(pub(super) Handle);

#[async_trait]
impl Visibility for Projections {
    fn check(&self, name: &str) -> Result<(), Problem> {
        self.0.running(name)?;
        Ok(())
    }

    async fn is_visible(
        &self,
        name: &str,
        stream_id: &StreamId,
        committed: &Committed,
        timeout: Duration,
    ) -> bool {
        let shown = self.0.when_shown(name, stream_id, committed, timeout).await;
        shown.unwrap_or_else(|error| {
            tracing::debug!(name, %error, "a commit is not visible so far");
            false
        })
    }
}
