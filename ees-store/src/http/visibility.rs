//! Whether read models show a commit: what `visible_in` needs to know.

use std::time::Duration;

use async_trait::async_trait;

use super::Problem;
use crate::{Committed, StreamId};

/// Knows whether read models show a commit.
#[async_trait]
pub trait Visibility: Send + Sync + 'static {
    /// Checks that there is a read model of this name.
    ///
    /// # Errors
    /// The answer to a commit that is to be visible there: nothing is committed then.
    fn check(&self, name: &str) -> Result<(), Problem>;

    /// Waits until a read model shows a commit. Returns `false` when it does not within this time, for whatever
    /// reason.
    async fn is_visible(
        &self,
        name: &str,
        stream_id: &StreamId,
        committed: &Committed,
        timeout: Duration,
    ) -> bool;
}
