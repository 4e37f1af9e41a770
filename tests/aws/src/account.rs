//! An AWS account for one test.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use crate::faults::Connector;
use crate::{Faults, emulator};

/// The emulators that all tests share.
pub struct LocalAws;

/// An account for one test, which sees only what it made itself.
#[derive(Clone, Debug)]
pub struct Account {
    id: String,
    endpoint: String,
}

impl LocalAws {
    /// A fresh, empty account. Starts an emulator if this is the first.
    ///
    /// # Panics
    /// When the emulator can't be installed or does not start. The message says why.
    pub async fn account() -> Account {
        match tokio::task::spawn_blocking(emulator::shared).await {
            Ok(emulator) => emulator.account(),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
}

impl Account {
    pub(crate) const REGION: &'static str = "eu-central-1";

    /// The account of requests without an access key. For trying things out only: tests would share it.
    ///
    /// # Panics
    /// As for [`LocalAws::account`].
    pub async fn of_everybody() -> Self {
        Self { id: "test".to_owned(), ..LocalAws::account().await }
    }

    /// The same account, of an emulator that another process has started.
    pub fn of(endpoint: &str) -> Self {
        Self { id: "test".to_owned(), endpoint: endpoint.to_owned() }
    }

    pub(crate) fn new(endpoint: String) -> Self {
        Self { id: fastrand::u64(100_000_000_000..1_000_000_000_000).to_string(), endpoint }
    }

    /// The account number, 12 digits. The emulator tells accounts apart by the access key, which is the same
    /// text.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The URL of the emulator: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The region of all resources.
    pub fn region(&self) -> &'static str {
        Self::REGION
    }

    /// The environment variables by which another program (`ees`, a script) uses this account.
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", &self.id),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", self.region()),
        ]
    }

    /// The configuration for clients of the SDK.
    pub fn sdk_config(&self) -> SdkConfig {
        config(&self.endpoint, Credentials::new(&self.id, "test", None, None, "test"))
    }

    /// The same configuration, with a plan of faults between the SDK and the network.
    pub fn sdk_config_with(&self, faults: &Faults) -> SdkConfig {
        self.sdk_config().into_builder().http_client(Connector::client(faults.clone())).build()
    }
}

pub(crate) fn config(endpoint: &str, credentials: Credentials) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(Account::REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard())
        // An emulator on a busy machine is slow, not broken.
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(60)).build())
        .build()
}
