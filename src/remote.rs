//! The options that say which server a sub-command calls, and the client for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
#[cfg(feature = "sigv4")]
use clap::builder::BoolishValueParser;
use ees_store::client::{Builder, Client, Retry};
use jiff::Timestamp;

use crate::exit::{Failure, Outcome};
use crate::features;

/// How long a long operation waits for its server.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(crate) struct Remote {
    /// The URL of the server
    #[arg(long, env = "EES_URL", value_name = "URL", default_value = "http://127.0.0.1:7070")]
    pub(crate) url: String,
    #[command(flatten)]
    credentials: Credentials,
}

/// The options that say as whom a sub-command calls.
#[derive(Args)]
pub(crate) struct Credentials {
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
        self.build(Client::builder(&self.url()?).retries(2)).await
    }

    /// For long operations: retries for half a minute, enough for a restart of the server, and tells on
    /// standard error that it does.
    pub(crate) async fn patient_client(&self) -> Outcome<Client> {
        let told_until = Mutex::new(None);
        let builder = Client::builder(&self.url()?).retries(usize::MAX).retry_for(PATIENCE);
        let builder = builder.on_retry(move |retry| tell(retry, &mut lock(&told_until)));
        self.build(builder).await
    }

    fn url(&self) -> Outcome<String> {
        whole(&self.url)
    }

    async fn build(&self, builder: Builder) -> Outcome<Client> {
        self.credentials.build(builder).await
    }
}

impl Credentials {
    /// A client of the server at this URL that passes on what others ask.
    pub(crate) async fn client(&self, url: &str) -> Outcome<Client> {
        self.build(Client::builder(&whole(url)?)).await
    }

    async fn build(&self, builder: Builder) -> Outcome<Client> {
        let builder = match &self.api_key {
            Some(key) => builder.api_key(key),
            None => builder,
        };
        #[cfg(feature = "sigv4")]
        let builder = self.signing(builder).await;
        builder.build().map_err(|error| Failure::usage(error).at("--url"))
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

/// The URL of a server; `http://` may be left out before a host with a port.
fn whole(url: &str) -> Outcome<String> {
    if !cfg!(feature = "tls") && url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) {
        return Err(features::missing(format!("{url}: https://"), "tls"));
    }
    let authority = url.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    Ok(if has_port { format!("http://{url}") } else { url.to_owned() })
}

/// Tells once for each outage what is waited for, until when. Calls that fail at the same time share the line.
fn tell(retry: &Retry<'_>, told_until: &mut Option<Instant>) {
    let now = Instant::now();
    if told_until.is_some_and(|until| now < until) {
        return;
    }
    let left = PATIENCE.saturating_sub(retry.elapsed);
    *told_until = now.checked_add(left);
    let until = Timestamp::now().checked_add(left).map(|until| until.strftime("%H:%M:%S").to_string());
    eprintln!(
        "waiting for the server for {} s, until {} UTC: {}",
        left.as_secs_f64().ceil(),
        until.unwrap_or_default(),
        retry.why
    );
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_may_be_left_out_before_a_port() {
        for (given, meant) in [
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("localhost:7070/a", "http://localhost:7070/a"),
            ("[::1]:7070", "http://[::1]:7070"),
            ("http://host:1", "http://host:1"),
            ("nonsense", "nonsense"),
            ("ftp://host", "ftp://host"),
            (":7070", ":7070"),
        ] {
            assert_eq!(whole(given).unwrap(), meant);
        }
    }
}
