//! The options that say which server a sub-command calls, and the client for it.

use clap::Args;
#[cfg(feature = "sigv4")]
use clap::builder::BoolishValueParser;
#[cfg(feature = "sigv4")]
use ees_store::client::Builder;
use ees_store::client::Client;

use crate::exit::{Failure, Outcome};

#[derive(Args)]
pub(crate) struct Remote {
    /// The URL of the server
    #[arg(long, env = "EES_URL", value_name = "URL", default_value = "http://127.0.0.1:7070")]
    pub(crate) url: String,
    /// The API key, if the server needs one
    #[arg(long, env = "EES_API_KEY", value_name = "KEY", hide_env_values = true, hide_default_value = true)]
    api_key: Option<String>,
    /// Sign requests (SigV4) with the AWS credentials of the environment, for an API with IAM authorization.
    /// By default, requests are signed if the URL is https://ID.execute-api.REGION.amazonaws.com/... and
    /// there is no API key
    #[cfg(feature = "sigv4")]
    #[arg(long, env = "EES_SIGV4", value_parser = BoolishValueParser::new())]
    sigv4: bool,
}

impl Remote {
    /// For interactive use: reports an unreachable server within a second or two.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        self.with_retries(2).await
    }

    /// For long operations: retries for about half a minute, enough for a restart of the server.
    pub(crate) async fn patient_client(&self) -> Outcome<Client> {
        self.with_retries(9).await
    }

    async fn with_retries(&self, retries: usize) -> Outcome<Client> {
        let builder = Client::builder(&self.url).retries(retries);
        let builder = match &self.api_key {
            Some(key) => builder.api_key(key),
            None => builder,
        };
        #[cfg(feature = "sigv4")]
        let builder = self.signing(builder).await;
        builder.build().map_err(Failure::usage)
    }

    #[cfg(feature = "sigv4")]
    async fn signing(&self, builder: Builder) -> Builder {
        if self.sigv4 || self.api_key.is_none() && builder.is_api_gateway() {
            let loading = aws_config::load_defaults(aws_config::BehaviorVersion::latest());
            let config = Box::pin(loading).await;
            return builder.with_sigv4(&config);
        }
        builder
    }
}
