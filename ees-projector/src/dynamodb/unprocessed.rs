//! Retries the requests that DynamoDB leaves unprocessed in a batch.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::error::Error;

/// The pause after a round without progress. It grows with each such round; after the eighth, the batch
/// fails.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(3);
const ROUNDS_MAX: usize = 8;

/// The rounds of one batch.
pub(super) struct Rounds(ExponentialBackoff);

impl Rounds {
    pub(super) fn new() -> Self {
        Self(pauses().build())
    }

    /// Ends a round that began with `before` requests and left `left` unprocessed. Pauses if there was no
    /// progress.
    ///
    /// # Errors
    /// When too many rounds made no progress.
    pub(super) async fn next(&mut self, before: usize, left: usize) -> Result<(), Error> {
        if left == before {
            let pause = self.0.next().ok_or_else(Error::unprocessed)?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// The pauses between retries.
pub(super) fn pauses() -> ExponentialBuilder {
    let pauses = ExponentialBuilder::new().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX);
    pauses.with_max_times(ROUNDS_MAX).with_jitter()
}
