//! The server that a sub-command talks to.

use clap::Args;
use ees_store::client::Client;

use crate::exit::{Failure, Outcome};

#[derive(Args)]
pub(crate) struct Remote {
    /// Where the server is
    #[arg(long, env = "EES_URL", value_name = "URL", default_value = "http://127.0.0.1:7070")]
    pub(crate) url: String,
    /// The key to show it, where it wants one
    #[arg(long, env = "EES_API_KEY", value_name = "KEY", hide_env_values = true, hide_default_value = true)]
    api_key: Option<String>,
}

impl Remote {
    /// For somebody who waits for an answer: a server that is away is told within a second or two.
    pub(crate) fn client(&self) -> Outcome<Client> {
        self.with_retries(2)
    }

    /// For long work: lasts while the server is started anew, half a minute or so.
    pub(crate) fn patient_client(&self) -> Outcome<Client> {
        self.with_retries(9)
    }

    fn with_retries(&self, retries: usize) -> Outcome<Client> {
        let builder = Client::builder(&self.url).retries(retries);
        let builder = match &self.api_key {
            Some(key) => builder.api_key(key),
            None => builder,
        };
        builder.build().map_err(Failure::usage)
    }
}
