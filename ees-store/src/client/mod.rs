//! A store elsewhere, over HTTP.
//!
//! [`Client`] is an [`EventStore`](crate::EventStore) and a [`ChangesetLog`](crate::ChangesetLog) like the stores
//! themselves, and keeps the same laws, save that it can't say when a changeset was committed: that is the clock of
//! the store.

mod builder;
mod events;
mod gateway;
mod log;
mod problem;
#[cfg(feature = "sigv4")]
mod sigv4;
mod transport;
mod wire;

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use builder::Builder;
use transport::{Call, Transport};

pub use crate::Statistics;
use crate::{Error, Result};

/// A store elsewhere, over HTTP. Cloning is cheap, and clones share their connections.
///
/// What is safe to try again is tried again, after a broken connection as after 408, 429, 502, 503 and 504: reads,
/// and commits, each of which has an idempotency key (its own, or one made up for it). A commit that was answered is
/// stored once, whatever happened on the way.
///
/// Dropping a call stops it; a commit may still be stored.
///
/// ```no_run
/// use ees_store::client::Client;
/// use ees_store::{Commit, EventStore, Events, Expectation, StreamQuery, pages};
/// use futures::TryStreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Client::new("http://localhost:8080")?;
/// let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
/// store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
///
/// let whole = StreamQuery::all("account/42".parse()?);
/// let account: Vec<_> = pages::stream_changesets(&store, whole).try_collect().await?;
/// assert_eq!(account.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client of the server at this URL, `http://host:port` or `https://host/path`, with the defaults of
    /// [`Builder`]. Connects when it is used.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the URL can't be one of a server, or is `https` and the crate was built
    /// without its feature `tls`.
    pub fn new(url: &str) -> Result<Self> {
        Self::builder(url).build()
    }

    /// A client with an API key, or with other timeouts or retries than the default.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// How much the store holds, as far as it has been counted.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn statistics(&self) -> Result<Statistics> {
        self.get_json("/streams").await
    }

    /// The server's version, such as `0.0.1`.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn version(&self) -> Result<String> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let Version { version } = self.get_json("/version").await?;
        Ok(version)
    }

    /// Reads any endpoint: `path` begins with a slash, is percent-encoded, and may have a query.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server can't be reached; otherwise what its answer stands for, which is
    /// [`Error::Answered`] where no call of a store's own is answered so;
    /// [`Error::InvalidRequest`] when the answer is no `T`.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.get_json_after(path, Duration::ZERO).await
    }

    /// Reads an endpoint that was asked to wait so long before it answers.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn get_json_after<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T> {
        let answer = self.transport.send(Call::get(path).waiting(wait)).await?;
        self.transport.parsed(serde_json::from_slice(&answer.body))
    }

    /// Posts to any endpoint. Not tried again once it may have arrived.
    ///
    /// # Errors
    /// As [`Client::get_json`]; [`Error::InvalidRequest`] also when the body has no JSON form.
    pub async fn post_json<B, T>(&self, path: &str, body: &B) -> Result<T>
    where
        B: Serialize + Sync + ?Sized,
        T: DeserializeOwned,
    {
        let body = serde_json::to_vec(body).map_err(|e| Error::InvalidRequest(e.to_string()))?;
        let answer = self.transport.send(Call::post(path, body)).await?;
        self.transport.parsed(serde_json::from_slice(&answer.body))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.transport.url()).finish()
    }
}
