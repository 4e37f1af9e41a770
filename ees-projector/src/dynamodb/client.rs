//! How long a call may take.

use aws_sdk_dynamodb::Client;
use ees_store::aws::bounded_attempts;

/// The same client, whose attempts are bounded.
pub(super) fn bounded(client: Client) -> Client {
    let given = client.config().timeout_config();
    if given.is_some_and(|given| given.operation_attempt_timeout().is_some()) {
        return client;
    }
    let timeouts = bounded_attempts(given);
    Client::from_conf(client.config().to_builder().timeout_config(timeouts).build())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
    use tokio::net::TcpListener;

    use crate::database::Database as _;
    use crate::dynamodb::Database;

    use super::*;

    /// How long a call to a table takes that accepts connections and never answers, as if the connection had
    /// been dropped silently.
    async fn waited(own: Option<Duration>) -> Duration {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(format!("http://{}", listener.local_addr().unwrap()));
        config.set_timeout_config(
            own.map(|own| TimeoutConfig::builder().operation_attempt_timeout(own).build()),
        );
        let database = Database::new(Client::from_conf(config.build()), "read-models");
        let began = Instant::now();
        let error = database.partition("a").await.unwrap_err();
        assert!(Database::is_transient(&error), "{error}");
        began.elapsed()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_that_is_never_answered_ends_after_five_seconds_or_as_the_client_says() {
        let (by_default, own) = tokio::join!(waited(None), waited(Some(Duration::from_secs(1))));
        assert!((5..8).contains(&by_default.as_secs()), "{by_default:?}");
        assert!((1..5).contains(&own.as_secs()), "{own:?}");
    }
}
