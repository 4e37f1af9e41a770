//! Batches that DynamoDB carries out in part: what it leaves comes again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::error::Error;

/// The pause after a round in which nothing was done; the next ones are longer, until so many were in vain.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(3);
const ROUNDS_MAX: usize = 8;

/// The rounds in which a batch is carried out.
pub(super) struct Rounds(ExponentialBackoff);

impl Rounds {
    pub(super) fn new() -> Self {
        Self(pauses().build())
    }

    /// After a round that began with so many and left so many: waits, if nothing was done.
    ///
    /// # Errors
    /// That it came to nothing again and again.
    pub(super) async fn next(&mut self, before: usize, left: usize) -> Result<(), Error> {
        if left == before {
            let pause = self.0.next().ok_or_else(Error::unprocessed)?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// The pauses between tries that may come to something, as long as there is hope.
pub(super) fn pauses() -> ExponentialBuilder {
    let pauses = ExponentialBuilder::new().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX);
    pauses.with_max_times(ROUNDS_MAX).with_jitter()
}
