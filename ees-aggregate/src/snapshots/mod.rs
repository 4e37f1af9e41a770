//! Snapshots of states, so that long streams load as fast as short ones.
//!
//! A snapshot is only a cache. The repository uses it if it is from this log, this stream, this aggregate and
//! this [`SCHEMA`](Snapshotted::SCHEMA), and its changeset is still in the stream and unchanged; otherwise it
//! reads the stream from the beginning. Losing snapshots costs only time: you may delete rows, tables and
//! files whenever no process has them open.
//!
//! - [`memory::Snapshots`] is for tests, and for a process that loads the same streams repeatedly.
//! - `sqlite::Snapshots` is a file, for an embedded store or a client of a remote one.
//! - `postgres::Snapshots` is a table, in the store's database or any other.
//!
//! Implement the trait [`Snapshots`] to store them elsewhere.

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

/// Any error of a snapshot store. The repository logs it, and reads the stream instead.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An aggregate whose state can be stored as JSON.
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
    /// The version of the state's form and meaning. Snapshots with another one are not used.
    ///
    /// Change it with every change that derives another state from the same events: to the state's fields,
    /// [`apply`](Aggregate::apply), the upcasters, or the skipped events.
    const SCHEMA: &'static str;
}

/// What a snapshot belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The log.
    pub log_id: LogId,
    /// The [`TYPE`](Aggregate::TYPE) of the aggregate.
    pub aggregate: &'static str,
    /// The stream.
    pub stream_id: StreamId,
}

/// A state, and the position it was taken at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The [`SCHEMA`](Snapshotted::SCHEMA) of the state.
    pub schema: String,
    /// The last changeset in the state.
    pub changeset_id: ChangesetId,
    /// A SHA-256 over the key, the schema, that changeset and the state (32 bytes), which proves that they
    /// belong together.
    pub seal: Vec<u8>,
    /// The state, as JSON.
    pub state: String,
}

/// A store of snapshots: the latest one for each key.
///
/// It may lose snapshots, and return outdated or wrong ones: the repository detects that. It may fail, or
/// take longer than 2 seconds: then the repository reads the stream.
#[async_trait]
pub trait Snapshots: Send + Sync + 'static {
    /// Returns the snapshot of a key.
    ///
    /// # Errors
    /// Any error of the snapshot store.
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError>;

    /// Stores a snapshot, replacing the previous one.
    ///
    /// # Errors
    /// Any error of the snapshot store.
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
