//! How long a call may take.

use std::time::Duration;

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::timeout::TimeoutConfig;

/// What takes longer than this is tried again, unless the client has a limit of its own. The SDK has none but for connecting:
/// on a connection that was silently dropped it would wait as long as the system does, some 15 minutes.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The same client, whose attempts are bounded, and made again by [`Pace`](super::pace::Pace) only: so the messages of a call
/// that failed wait each for itself.
pub(super) fn bounded(client: &Client) -> Client {
    let given = client.config().timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
    let attempt = given.operation_attempt_timeout().unwrap_or(ATTEMPT_MAX);
    let timeouts = given.into_builder().operation_attempt_timeout(attempt).build();
    let config = client.config().to_builder().timeout_config(timeouts);
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sns::config::{BehaviorVersion, Config};

    use super::*;

    #[test]
    fn attempts_are_bounded_as_the_client_says_or_by_five_seconds() {
        let attempt = |config: Config| {
            let bounded = bounded(&Client::from_conf(config));
            bounded.config().timeout_config().and_then(TimeoutConfig::operation_attempt_timeout)
        };
        let config = || Config::builder().behavior_version(BehaviorVersion::latest());
        assert_eq!(attempt(config().build()), Some(ATTEMPT_MAX));
        let own = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(1)).build();
        assert_eq!(attempt(config().timeout_config(own).build()), Some(Duration::from_secs(1)));
        let other = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
        assert_eq!(attempt(config().timeout_config(other).build()), Some(ATTEMPT_MAX));
    }
}
