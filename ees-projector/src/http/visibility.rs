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
        let waited = match committed.checkpoint {
            Some(checkpoint) => self.0.when_reached(name, checkpoint, timeout).await,
            None => self.0.when_applied(name, stream_id, committed.changeset_id, timeout).await,
        };
        waited.inspect_err(|error| tracing::debug!(name, %error, "a commit is not visible so far")).is_ok()
    }
}
