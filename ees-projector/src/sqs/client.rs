//! The time limit of a call.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{self, Config};
use ees_store::aws::{ATTEMPT_MAX, bounded_attempts};

/// A client whose attempts are bounded.
#[derive(Clone)]
pub(super) struct Bounded {
    client: Client,
    /// Whether the client has a limit of its own, which then holds for all calls.
    own: bool,
}

impl Bounded {
    pub(super) fn new(client: Client) -> Self {
        let given = client.config().timeout_config();
        if given.is_some_and(|given| given.operation_attempt_timeout().is_some()) {
            return Self { client, own: true };
        }
        let config = client.config().to_builder().timeout_config(bounded_attempts(given)).build();
        Self { client: Client::from_conf(config), own: false }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The configuration of a call that waits for messages, and is not retried: the receiver calls again
    /// anyway, and wants to check in between whether to stop.
    pub(super) fn waiting(&self, wait: Duration) -> config::Builder {
        let once = Config::builder().retry_config(RetryConfig::disabled());
        if self.own {
            return once;
        }
        let timeouts = bounded_attempts(self.client.config().timeout_config()).into_builder();
        once.timeout_config(timeouts.operation_attempt_timeout(wait.saturating_add(ATTEMPT_MAX)).build())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use aws_sdk_sqs::config::timeout::TimeoutConfig;
    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
    use tokio::net::TcpListener;

    use super::*;
    use crate::sqs::Queue;

    /// A queue that accepts connections and never answers, as if the connection had been dropped silently.
    async fn silent(timeouts: Option<TimeoutConfig>, retries: RetryConfig) -> (Queue, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .retry_config(retries)
            .endpoint_url(&url);
        config.set_timeout_config(timeouts);
        (Queue::new(Client::from_conf(config.build()), format!("{url}/1/mine")), listener)
    }

    /// How long a receive takes on a queue that never answers.
    async fn waited(timeouts: Option<TimeoutConfig>, wait: u64) -> Duration {
        let (queue, _listener) = silent(timeouts, RetryConfig::standard()).await;
        let began = Instant::now();
        queue.with_wait(Duration::from_secs(wait)).receive().await.unwrap_err();
        began.elapsed()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_receive_that_is_never_answered_ends_five_seconds_after_it_should_or_as_the_client_says() {
        let own = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(1)).build();
        let (none, some, own) = tokio::join!(waited(None, 0), waited(None, 3), waited(Some(own), 20));
        assert!((5..8).contains(&none.as_secs()), "{none:?}");
        assert!((8..11).contains(&some.as_secs()), "{some:?}");
        assert!((1..5).contains(&own.as_secs()), "{own:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_does_not_wait_for_messages_ends_after_five_seconds() {
        let (queue, _listener) = silent(None, RetryConfig::disabled()).await;
        let began = Instant::now();
        queue.client().purge_queue().queue_url(queue.url()).send().await.unwrap_err();
        assert!((5..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}
