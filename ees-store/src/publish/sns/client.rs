//! How long a call may take.

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;

use crate::aws::bounded_attempts;

/// The same client, with bounded attempts and without retries: [`Pace`](super::pace::Pace) retries, so that
/// the messages of a failed call wait separately.
pub(super) fn bounded(client: &Client) -> Client {
    let timeouts = bounded_attempts(client.config().timeout_config());
    let config = client.config().to_builder().timeout_config(timeouts);
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sns::config::timeout::TimeoutConfig;
    use aws_sdk_sns::config::{BehaviorVersion, Config};

    use super::*;
    use crate::aws::ATTEMPT_MAX;

    #[test]
    fn attempts_are_bounded_and_never_retried_by_the_sdk() {
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let bounded = bounded(&Client::from_conf(config));
        let attempt = bounded.config().timeout_config().and_then(TimeoutConfig::operation_attempt_timeout);
        assert_eq!(attempt, Some(ATTEMPT_MAX));
        assert_eq!(bounded.config().retry_config().map(RetryConfig::max_attempts), Some(1));
    }
}
