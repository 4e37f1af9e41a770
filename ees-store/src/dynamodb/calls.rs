//! How a call is made: how long an attempt may take, and when it is retried.

use std::future::Future;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::{Client, Config};
use backon::{ExponentialBuilder, Retryable};

use crate::aws::bounded_attempts;

/// A client whose attempts are bounded. It does not retry: [`again`] does.
pub(super) fn client(config: impl Into<Config>) -> Client {
    let config: Config = config.into();
    let timeouts = bounded_attempts(config.timeout_config());
    Client::from_conf(
        config.to_builder().timeout_config(timeouts).retry_config(RetryConfig::disabled()).build(),
    )
}

/// Makes a call, and retries it as long as `passes` says that the error may pass. No attempt begins after
/// `patience`, so that all of it takes no longer than that and one attempt.
pub(super) async fn again<T, E, F, Fut>(
    patience: Duration,
    call: F,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let begun = Instant::now();
    // A limit of the pauses alone would not count what the attempts take.
    let in_time = |_: &E, pause: Option<Duration>| pause.filter(|pause| begun.elapsed() + *pause < patience);
    call.retry(pauses()).when(passes).adjust(in_time).await
}

/// The pauses between attempts, without end. Jitter spreads out calls that collided once.
pub(super) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_secs(1))
        .with_jitter()
        .without_max_times()
}
