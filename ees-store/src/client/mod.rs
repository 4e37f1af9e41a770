//! A client of a remote store, over HTTP.
//!
//! [`Client`] is an [`EventStore`](crate::EventStore) and a [`ChangesetLog`](crate::ChangesetLog) like the
//! stores themselves. It keeps the same laws, except that it can't set the time of a commit: the server's
//! clock does.
//!
//! It also reads from servers of other systems that speak the base contract, which tells neither times nor
//! stream types: the times of changesets then begin in 1970. A stream whose beginning was not read costs
//! further calls, which count its events. Commits are not protected against repetition there.

mod base_contract;
mod builder;
pub(crate) mod bulk;
mod call_error;
mod events;
#[cfg(feature = "http")]
mod forward;
mod gateway;
mod log;
pub(crate) mod problem;
mod proxy;
mod retry;
#[cfg(feature = "sigv4")]
mod sigv4;
pub(crate) mod transport;
pub(crate) mod wire;

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use base_contract::{BaseServer, StreamEnds};
pub use builder::Builder;
use bulk::OneByOne;
pub use call_error::{CallError, CallResult};
#[cfg(feature = "http")]
pub(crate) use forward::Forwarded;
pub use retry::Retry;
use transport::{Call, Transport};

pub use crate::Statistics;
use crate::{Commit, Committed, Error, Result};

/// A client of a remote store, over HTTP. Cloning is cheap, and clones share their connections.
///
/// It retries reads and commits after a broken connection and after the statuses 408, 429, 502, 503 and 504.
/// Every commit has an idempotency key (its own, or a random one), so an acknowledged commit is stored
/// exactly once.
///
/// [`commit_in_order`](crate::EventStore::commit_in_order) sends up to 200 commits in one request, which costs the server a
/// fraction of as many requests. A server that does not take that gets them one by one.
///
/// Dropping a call stops it. A commit may still be stored.
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
    ends: StreamEnds,
    one_by_one: OneByOne,
}

impl Client {
    /// A client of the server at this URL, `http://host:port` or `https://host/path`, with the defaults of
    /// [`Builder`]. It connects with the first call.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the URL is not valid for a server, or is `https` while the crate's
    /// feature `tls` is off.
    pub fn new(url: &str) -> Result<Self> {
        Self::builder(url).build()
    }

    /// Builds a client with an API key, or with other timeouts or retries than the default.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// The URL of the server, without a slash at its end.
    pub fn url(&self) -> &str {
        self.transport.url()
    }

    fn base_server(&self) -> BaseServer<'_> {
        BaseServer { transport: &self.transport, ends: &self.ends }
    }

    /// Returns how much the store holds, as far as the server has counted.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn statistics(&self) -> CallResult<Statistics> {
        self.get_json("/streams").await
    }

    /// Returns the server's version, such as `0.0.1`.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn version(&self) -> CallResult<String> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let Version { version } = self.get_json("/version").await?;
        Ok(version)
    }

    /// Commits as [`EventStore::commit`](crate::EventStore::commit) does, and keeps the answer to a commit
    /// that is refused: a conflict lists the changesets that came first.
    ///
    /// # Errors
    /// As [`EventStore::commit`](crate::EventStore::commit).
    pub async fn try_commit(&self, commit: &Commit) -> CallResult<Committed> {
        events::commit(&self.transport, commit).await
    }

    /// Commits as [`try_commit`](Self::try_commit) does, and waits until a projection of the server has applied
    /// the commit, for at most 60 seconds. Then a read of its read model shows the commit.
    ///
    /// Returns `false` when it is committed, and the projection has not applied it within the time. Where the
    /// server has no such projection, nothing is committed.
    ///
    /// # Errors
    /// As [`EventStore::commit`](crate::EventStore::commit); also [`Error::Answered`] with the code
    /// `PROJECTION_NOT_FOUND`.
    pub async fn commit_visible_in(
        &self,
        commit: &Commit,
        projection: &str,
        timeout: Duration,
    ) -> CallResult<(Committed, bool)> {
        events::commit_visible_in(&self.transport, commit, projection, timeout).await
    }

    /// Gets any endpoint. `path` begins with a slash, is percent-encoded, and may have a query.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the server can't be reached; [`Error::InvalidRequest`] when the answer is
    /// not a `T`; otherwise the error in the server's answer, as [`Error::Answered`] if it is none of a
    /// store's own.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> CallResult<T> {
        self.get_json_after(path, Duration::ZERO).await
    }

    /// Gets an endpoint that may wait this long before it answers.
    ///
    /// # Errors
    /// As [`Client::get_json`].
    pub async fn get_json_after<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> CallResult<T> {
        let answer = self.transport.send(Call::get(path).waiting(wait)).await?;
        Ok(self.transport.parsed(serde_json::from_slice(&answer.body))?)
    }

    /// Posts to any endpoint. It does not retry once the request may have arrived.
    ///
    /// # Errors
    /// As [`Client::get_json`]; also [`Error::InvalidRequest`] when the body can't be serialized as JSON.
    pub async fn post_json<B, T>(&self, path: &str, body: &B) -> CallResult<T>
    where
        B: Serialize + Sync + ?Sized,
        T: DeserializeOwned,
    {
        let body = serde_json::to_vec(body).map_err(|e| Error::InvalidRequest(e.to_string()))?;
        let answer = self.transport.send(Call::post(path, body)).await?;
        Ok(self.transport.parsed(serde_json::from_slice(&answer.body))?)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.transport.url()).finish()
    }
}
