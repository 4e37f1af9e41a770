//! The laws that every store keeps, as tests: one function for each law, stamped onto a backend by
//! [`store_laws!`](crate::store_laws).
//!
//! A backend says how to create and reopen it ([`Subject`]), and what it can do ([`Capabilities`]). A law
//! about something that it can't do still runs: it checks that the store refuses, and leaves nothing half
//! done.
//!
//! ```
//! use std::sync::Arc;
//! use ees_store::laws::{Capabilities, Subject};
//! use ees_store::{ChangesetLog, EventStore, memory};
//!
//! struct Memory(Arc<memory::Store>);
//!
//! impl Subject for Memory {
//!     const CAPABILITIES: Capabilities = Capabilities { reopens: false, ..Capabilities::ALL };
//!
//!     async fn new() -> Self {
//!         Self(Arc::new(memory::Store::with_limit_bytes(Self::CAPABILITIES.limit_bytes)))
//!     }
//!     fn store(&self) -> Arc<dyn EventStore> {
//!         self.0.clone()
//!     }
//!     fn log(&self) -> Arc<dyn ChangesetLog> {
//!         self.0.clone()
//!     }
//!     async fn reopen(self) -> Self {
//!         Self::new().await
//!     }
//!     async fn crash(self) -> Self {
//!         Self::new().await
//!     }
//! }
//!
//! // In a test file: one `#[tokio::test]` for each law.
//! ees_store::store_laws!(Memory);
//! # fn main() {}
//! ```
//!
//! The crate with the tests needs `tokio` with the features `macros` and `rt-multi-thread`.
//!
//! # Panics
//! A law panics when the store breaks it, like any test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "laws are tests: they fail by panicking")]

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use crate::{ChangesetId, ChangesetLog, EventStore, StreamId};

pub mod batches;
pub mod by_type;
pub mod concurrency;
pub mod fidelity;
pub mod filters;
pub mod idempotency;
pub mod log;
pub mod names;
pub mod order;
pub mod quarantine;
pub mod racing;
pub mod reopening;
pub mod segments;
pub mod several;
pub mod sizes;
mod stamp;
mod steps;
pub mod streams;
pub mod times;
pub mod traces;
pub mod types;
pub mod waiting;

/// A backend under test.
pub trait Subject: Sized {
    /// What the backend can do.
    const CAPABILITIES: Capabilities;

    /// Creates a new, empty store with its own log.
    fn new() -> impl Future<Output = Self>;

    /// Returns the store. Every call returns the same one.
    fn store(&self) -> Arc<dyn EventStore>;

    /// Returns the store's log.
    fn log(&self) -> Arc<dyn ChangesetLog>;

    /// Shuts the store down as its users would, and reopens the same data, with nothing kept in memory.
    ///
    /// The laws drop what [`store`](Self::store) and [`log`](Self::log) returned before. A backend that can't
    /// reopen returns a new, empty store.
    fn reopen(self) -> impl Future<Output = Self>;

    /// Opens the data as a new process would find it if this one was killed now.
    ///
    /// Commits may be in progress on handles that are still in use. They may fail, and must not reach the
    /// returned store any more. A backend that can't reopen returns a new, empty store.
    fn crash(self) -> impl Future<Output = Self>;

    /// Opens another store on the same log, as another process would, for concurrent use. Default: `None`,
    /// for a backend whose log only one process may open.
    fn beside(&self) -> impl Future<Output = Option<Self>> {
        async { None }
    }

    /// Deletes the changesets at these checkpoints, as an administrator would by hand while the store is in
    /// use, and returns `true`. Default: `false`, for a backend whose data nobody else reaches, or that can't
    /// tell what was deleted from what is late.
    fn erase(&self, checkpoints: Range<u64>) -> impl Future<Output = bool> {
        let _ = checkpoints;
        async { false }
    }

    /// Replaces the text of a changeset's events in the storage, as somebody with access to it could: not by a
    /// commit. Returns `false` if the backend's storage can't hold another text. Default: `false`.
    fn replace_events(&self, _: &StreamId, _: ChangesetId, _: &str) -> impl Future<Output = bool> {
        async { false }
    }
}

/// What a backend can do, and its size limit.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// It keeps its data when it is reopened.
    pub reopens: bool,
    /// It assigns the checkpoint with the commit, and returns it. If not, checkpoints are assigned
    /// afterwards, and follow the order of commits only within a stream.
    pub orders_at_commit: bool,
    /// It accepts [`Commit::recorded_at`](crate::Commit::recorded_at). If not, it refuses such a commit.
    pub keeps_given_times: bool,
    /// It lists the streams of a type. If not, it refuses to.
    pub lists_types: bool,
    /// Its log can be read by segments. If not, it refuses to.
    pub reads_segments: bool,
    /// It keeps a checksum of each changeset, and notices when the storage has changed it.
    pub keeps_checksums: bool,
    /// Several processes may use one log concurrently.
    pub shares_log: bool,
    /// The maximum size of events and metadata in one changeset, in bytes. At least 10,000.
    pub limit_bytes: usize,
}

impl Capabilities {
    /// Everything except segments, checksums and sharing the log; changesets of up to 1 MiB.
    pub const ALL: Self = Self {
        reopens: true,
        orders_at_commit: true,
        keeps_given_times: true,
        lists_types: true,
        reads_segments: false,
        keeps_checksums: false,
        shares_log: false,
        limit_bytes: 1024 * 1024,
    };
}
