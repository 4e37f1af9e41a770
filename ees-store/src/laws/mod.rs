//! What every store keeps, as tests: one function a law, stamped onto a backend by [`store_laws!`](crate::store_laws).
//!
//! A backend says how it is made and reopened ([`Subject`]) and what it can't do ([`Capabilities`]). A law about
//! something it can't do still runs: it then checks that the store says so, and does not half do it.
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
//! The crate that stamps them needs `tokio` with its features `macros` and `rt-multi-thread`.
//!
//! # Panics
//! Every law panics when it is broken, like any test.
#![expect(clippy::unwrap_used, clippy::panic, reason = "laws are tests: they fail by panicking")]

use std::future::Future;
use std::sync::Arc;

use crate::{ChangesetLog, EventStore};

pub mod batches;
pub mod by_type;
pub mod concurrency;
pub mod fidelity;
pub mod filters;
pub mod idempotency;
pub mod log;
pub mod names;
pub mod order;
pub mod racing;
pub mod reopening;
pub mod several;
pub mod sizes;
mod stamp;
mod steps;
pub mod streams;
pub mod times;
pub mod types;
pub mod waiting;

/// A backend under test.
pub trait Subject: Sized {
    /// What it can and can't do.
    const CAPABILITIES: Capabilities;

    /// A new, empty store with a log of its own.
    fn new() -> impl Future<Output = Self>;

    /// Its write and stream side. Every call gives the same store.
    fn store(&self) -> Arc<dyn EventStore>;

    /// Its global side.
    fn log(&self) -> Arc<dyn ChangesetLog>;

    /// Shuts the store down as its users would and opens the same data again, with nothing kept in memory.
    ///
    /// The laws have dropped what they got from [`store`](Self::store) and [`log`](Self::log) before.
    /// A backend that can't reopen gives a new, empty store.
    fn reopen(self) -> impl Future<Output = Self>;

    /// Opens the data as a new process would find it after the present one was killed at this moment.
    ///
    /// Commits may be under way on handles that are still in use. What these do from now on must not reach the
    /// store that is returned; they may fail.
    /// A backend that can't reopen gives a new, empty store.
    fn crash(self) -> impl Future<Output = Self>;

    /// One more store on the same log, as another process would open it, and used at the same time. `None`, which is
    /// the default, where one process has the log to itself.
    fn beside(&self) -> impl Future<Output = Option<Self>> {
        async { None }
    }
}

/// What a backend can do, and its limit.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// Keeps its data when it is reopened.
    pub reopens: bool,
    /// Gives a changeset its place in the global order with the commit, and answers with it. Otherwise the order
    /// is given out afterwards, and only holds within a stream.
    pub orders_at_commit: bool,
    /// Takes [`Commit::recorded_at`](crate::Commit::recorded_at); otherwise it refuses such a commit.
    pub keeps_given_times: bool,
    /// Lists the streams of a type; otherwise it refuses to.
    pub lists_types: bool,
    /// Several processes may use one log at once.
    pub shares_log: bool,
    /// The largest changeset, in bytes of events and metadata. At least 10,000.
    pub limit_bytes: usize,
}

impl Capabilities {
    /// Everything but sharing the log, and changesets of up to 1 MiB.
    pub const ALL: Self = Self {
        reopens: true,
        orders_at_commit: true,
        keeps_given_times: true,
        lists_types: true,
        shares_log: false,
        limit_bytes: 1024 * 1024,
    };
}
