//! Snapshots: states kept aside, so that long streams load as fast as short ones.
//!
//! A snapshot is only a cache. It is used when it is of this log, this stream, this aggregate and this
//! [`SCHEMA`](Snapshotted::SCHEMA), and the changeset it was taken at is still in the stream and still the same; else the
//! stream is read from its beginning. Losing all of them costs time and nothing else: rows, tables and files may be removed
//! whenever nobody has them open.
//!
//! - [`memory::Snapshots`] is for tests, and for a process that loads the same streams again and again.
//! - [`sqlite::Snapshots`] is a file, beside an embedded store or a client of one elsewhere.
//! - [`postgres::Snapshots`] is a table, in the store's database or any other.
//!
//! Write one for a place of your own by the trait [`Snapshots`].

pub(crate) mod cache;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use ees_store::{ChangesetId, LogId, StreamId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Aggregate;

/// Any error of a place where snapshots are kept. It is logged, and the stream read instead.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An aggregate whose state can be kept aside, as JSON.
///
/// ```
/// # use ees_aggregate::{Aggregate, snapshots::Snapshotted};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Default, Serialize, Deserialize)]
/// struct Account { cents: u64 }
/// # #[derive(Serialize, Deserialize)]
/// # struct Event;
/// # impl Aggregate for Account {
/// #     const TYPE: &'static str = "account";
/// #     type Event = Event; type Command = (); type Error = std::convert::Infallible;
/// #     fn apply(&mut self, _: &Event) {}
/// #     fn decide(&self, _: &()) -> Result<Vec<Event>, Self::Error> { Ok(vec![]) }
/// # }
/// impl Snapshotted for Account {
///     const SCHEMA: &'static str = "1";
/// }
/// ```
pub trait Snapshotted: Aggregate + Serialize + DeserializeOwned {
    /// Names the form and the meaning of the state. Snapshots under another name are not used.
    ///
    /// Change it with whatever would make another state of the same events: the state's fields,
    /// [`apply`](Aggregate::apply), the upcasters, the events that are skipped.
    const SCHEMA: &'static str;
}

/// Whose snapshot it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The log: another one is another history.
    pub log_id: LogId,
    /// The [`TYPE`](Aggregate::TYPE) of the aggregate.
    pub aggregate: &'static str,
    /// The stream.
    pub stream_id: StreamId,
}

/// A state, and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The [`SCHEMA`](Snapshotted::SCHEMA) of the state.
    pub schema: String,
    /// The last changeset in it.
    pub changeset_id: ChangesetId,
    /// A SHA-256 of the key, the schema, that changeset and the state, 32 bytes: by this one sees whether they belong
    /// together.
    pub seal: Vec<u8>,
    /// The state, JSON.
    pub state: String,
}

/// Where snapshots are kept: one for each key, the last one that was given.
///
/// May forget, and may give what is out of date, or another's: that is noticed. May fail, and take its time, up to
/// 2 seconds: then the stream is read.
#[async_trait]
pub trait Snapshots: Send + Sync + 'static {
    /// The snapshot that was kept under a key.
    ///
    /// # Errors
    /// Whatever went wrong.
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError>;

    /// Keeps a snapshot in place of the one before.
    ///
    /// # Errors
    /// Whatever went wrong.
    async fn keep(&self, key: &Key, snapshot: &Snapshot) -> Result<(), BoxError>;
}

#[async_trait]
impl<S: Snapshots + ?Sized> Snapshots for Arc<S> {
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError> {
        (**self).find(key).await
    }
    async fn keep(&self, key: &Key, snapshot: &Snapshot) -> Result<(), BoxError> {
        (**self).keep(key, snapshot).await
    }
}
