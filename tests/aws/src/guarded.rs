//! Accounts that verify signatures and enforce policies.

use std::process::Command;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::account::{Account, LocalAws, config};
use crate::{Stack, emulator, venv};

impl LocalAws {
    /// A fresh, empty account on another emulator, which verifies signatures and enforces the policies of
    /// users and roles. The account itself is root, and may do everything there too.
    ///
    /// # Panics
    /// When the emulator can't be installed or does not start. The message says why.
    pub async fn guarded_account() -> Account {
        unblocked(|| emulator::guarded().account()).await
    }
}

/// A user or role in an account, with the rights that its policies give.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    #[serde(skip)]
    endpoint: String,
    #[serde(rename = "AccessKeyId")]
    access_key: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "SessionToken")]
    token: Option<String>,
}

impl Identity {
    /// The configuration for clients of the SDK.
    pub fn sdk_config(&self) -> SdkConfig {
        let expiry = None;
        let credentials =
            Credentials::new(&self.access_key, &self.secret, self.token.clone(), expiry, "test");
        config(&self.endpoint, credentials)
    }

    /// The environment variables by which another program acts as this identity.
    pub fn environment(&self) -> Vec<(&'static str, &str)> {
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_ACCESS_KEY_ID", &self.access_key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
            ("AWS_REGION", Account::REGION),
        ];
        variables.extend(self.token.as_ref().map(|token| ("AWS_SESSION_TOKEN", &**token)));
        variables
    }

    /// The same access key with a wrong secret.
    #[must_use]
    pub fn with_wrong_secret(self) -> Self {
        Self { secret: "wrong".to_owned(), ..self }
    }
}

impl Account {
    /// Creates a user with the rights of this policy.
    ///
    /// # Panics
    /// When the user can't be created.
    pub async fn user(&self, policy: &str) -> Identity {
        let name = format!("user-{:08x}", fastrand::u32(..));
        identity(self, vec!["user".to_owned(), name, policy.to_owned()]).await
    }
}

/// A right of a role.
#[derive(Clone, Debug, Deserialize)]
pub struct Right {
    /// The role, by its name in the template.
    pub role: String,
    /// The action, such as `sns:Publish`.
    pub action: String,
    /// The ARN of the resource.
    pub resource: String,
    /// The condition, if there is one.
    pub condition: Option<serde_json::Value>,
}

impl Stack {
    /// The rights of the stack's roles, as deployed.
    ///
    /// # Panics
    /// When the rights can't be read.
    pub async fn rights(&self) -> Vec<Right> {
        told(self.account(), include_str!("rights.py"), vec![self.name().to_owned()]).await
    }

    /// Assumes a role of the stack, by its name in the template.
    ///
    /// # Panics
    /// When there is no such role.
    pub async fn role(&self, name: &str) -> Identity {
        identity(self.account(), vec!["role".to_owned(), self.name().to_owned(), name.to_owned()]).await
    }
}

async fn identity(account: &Account, arguments: Vec<String>) -> Identity {
    let identity: Identity = told(account, include_str!("identity.py"), arguments).await;
    Identity { endpoint: account.endpoint().to_owned(), ..identity }
}

/// Runs a script as the account itself, and parses its output.
async fn told<T: DeserializeOwned + Send + 'static>(
    account: &Account,
    script: &'static str,
    arguments: Vec<String>,
) -> T {
    let account = account.clone();
    unblocked(move || {
        let mut python = Command::new(venv::python());
        python.args(["-c", script]).args(&arguments).envs(account.environment());
        let output = python.output().expect("python runs");
        let failure = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {failure}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    })
    .await
}

async fn unblocked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
