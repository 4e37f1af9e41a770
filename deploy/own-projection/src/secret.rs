//! The name and the password of a database, from Secrets Manager. They may change while the function runs.

use std::error::Error;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::DisplayErrorContext;
use ees_projector::postgres::sqlx::PgPool;
use serde::Deserialize;
use url::Url;

/// How long a password is used without another look: 10,000 looks cost 0.05 $.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// A secret with the name and the password for a database.
pub(crate) struct Secret {
    client: Client,
    arn: String,
    database: Url,
    look_every: Duration,
    looked: Mutex<Instant>,
}

/// As RDS keeps it, among other members.
#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

impl Secret {
    /// The secret for the database at this URL, which has neither name nor password.
    pub(crate) fn new(config: &SdkConfig, arn: String, database: Url) -> Self {
        let client = Client::new(config);
        Self { client, arn, database, look_every: LOOK_EVERY, looked: Mutex::new(Instant::now()) }
    }

    /// The URL with the name and the password as they are now.
    ///
    /// # Errors
    /// When the secret can't be read, or has no `username` or `password`. The message never has its content.
    pub(crate) async fn url(&self) -> Result<Url, Box<dyn Error + Send + Sync>> {
        let told = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let told = told.map_err(|error| {
            format!("the secret {} can't be read: {}", self.arn, DisplayErrorContext(error))
        })?;
        let json = told.secret_string().unwrap_or_default();
        let Ok(Credentials { username, password }) = serde_json::from_str(json) else {
            return Err(format!("the secret {} is not JSON with `username` and `password`", self.arn).into());
        };
        let mut url = self.database.clone();
        let named = url.set_username(&username).and_then(|()| url.set_password(Some(&password)));
        named.map_err(|()| "DATABASE_URL must be postgres://HOST/DATABASE")?;
        Ok(url)
    }

    /// Gives new connections the name and the password as they are now, if it is time for a look. Those that
    /// are open stay so.
    pub(crate) async fn renew(&self, pool: &PgPool) {
        if !self.is_due() {
            return;
        }
        let renewed = match self.url().await {
            Ok(url) => url.as_str().parse().map_err(Into::into),
            Err(error) => Err(error),
        };
        match renewed {
            Ok(options) => pool.set_connect_options(options),
            Err(error) => tracing::warn!(error, "connections go on with the password from before"),
        }
    }

    fn is_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = looked.elapsed() >= self.look_every;
        if is_due {
            *looked = Instant::now();
        }
        is_due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use ees_projector::postgres::sqlx::postgres::PgPoolOptions;
    use ees_test_aws::LocalAws;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn new_connections_have_the_name_and_the_password_of_a_rotated_secret() {
        let config = LocalAws::account().await.sdk_config();
        let secrets = Client::new(&config);
        let text = r#"{"username": "first", "password": "a/b@c:d", "engine": "postgres"}"#;
        let created = secrets.create_secret().name("database").secret_string(text).send().await.unwrap();
        let arn = created.arn.unwrap();
        let url = "postgres://host:6543/files".parse().unwrap();
        let secret = Secret { look_every: Duration::ZERO, ..Secret::new(&config, arn.clone(), url) };
        let url = secret.url().await.unwrap();
        assert_eq!(url.as_str(), "postgres://first:a%2Fb%40c%3Ad@host:6543/files");

        let pool = PgPoolOptions::new().connect_lazy(url.as_str()).unwrap();
        let text = r#"{"username": "second", "password": "e", "engine": "postgres"}"#;
        secrets.put_secret_value().secret_id(arn).secret_string(text).send().await.unwrap();
        secret.renew(&pool).await;
        assert_eq!(pool.connect_options().get_username(), "second");
    }
}
