//! Batches that DynamoDB carries out in part: what it leaves comes again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use super::error::Error;
use crate::projection::BoxError;

/// The pause after a round in which nothing was done; the next ones are longer, until so many were in vain.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(3);
const ROUNDS_MAX: usize = 8;

/// Calls again with what was left, until nothing is.
///
/// # Errors
/// The call's, or that it came to nothing again and again.
pub(super) async fn until_done<T>(
    mut left: Vec<T>,
    mut call: impl AsyncFnMut(Vec<T>) -> Result<Vec<T>, BoxError>,
) -> Result<(), BoxError> {
    let pauses = ExponentialBuilder::new()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .with_max_times(ROUNDS_MAX)
        .with_jitter();
    let mut pauses = pauses.build();
    while !left.is_empty() {
        let before = left.len();
        left = call(left).await?;
        if left.len() == before {
            let Some(pause) = pauses.next() else { return Err(Error::unprocessed().into()) };
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_left_comes_again_and_not_for_ever() {
        let mut done = Vec::new();
        let mut round = 0;
        let all = until_done(vec![1, 2, 3, 4, 5], async |mut left| {
            round += 1;
            // Each second round does nothing.
            if round % 2 == 1 {
                done.extend(left.drain(..left.len().min(2)));
            }
            Ok(left)
        });
        assert!(all.await.is_ok());
        assert_eq!(done, [1, 2, 3, 4, 5]);
        let never = until_done(vec![1], async |left| Ok(left)).await;
        assert!(never.is_err_and(|error| error.downcast_ref().is_some_and(Error::passes)));
    }
}
