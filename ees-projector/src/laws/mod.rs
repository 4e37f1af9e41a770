//! What every read-model database keeps, as tests: one function a law, stamped onto a database by
//! [`database_laws!`](crate::database_laws).
//!
//! A test says how the database is made and looked into ([`Subject`]), and what it can't do ([`Capabilities`]). A law
//! about something it can't do still runs: it then checks that the projector refuses it, and does not half do it.
//!
//! ```
//! use std::collections::BTreeMap;
//! use ees_projector::laws::{Capabilities, Subject};
//! use ees_projector::memory;
//!
//! struct Memory(memory::Database);
//!
//! impl Subject for Memory {
//!     type Database = memory::Database;
//!     const CAPABILITIES: Capabilities =
//!         Capabilities { reopens: false, columns: false, foreign_keys: false, ..Capabilities::ALL };
//!
//!     async fn new() -> Self {
//!         Self(memory::Database::new())
//!     }
//!     fn database(&self) -> memory::Database {
//!         self.0.clone()
//!     }
//!     async fn table(&self, name: &str) -> BTreeMap<String, String> {
//!         self.0.rows(name).await
//!     }
//!     async fn reopen(self) -> Self {
//!         Self::new().await
//!     }
//! }
//!
//! // In a test file: one `#[tokio::test]` for each law.
//! ees_projector::database_laws!(Memory);
//! # fn main() {}
//! ```
//!
//! The crate that stamps them needs `tokio` with its features `macros` and `rt-multi-thread`.
//!
//! # Panics
//! Every law panics when it is broken, like any test.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "laws are tests: they fail by panicking"
)]

use std::collections::BTreeMap;
use std::future::Future;

use crate::database::{Database, FoldRows};

pub mod applying;
pub mod as_of;
pub mod columns;
pub mod composites;
pub mod effects;
pub mod explaining;
pub mod failing;
pub mod fingerprints;
pub mod log_replaced;
pub mod multi_folds;
pub mod naming;
pub mod operating;
pub mod parking;
pub mod partitions;
pub mod previewing;
pub mod reacting;
pub mod reopening;
pub mod segments;
pub mod side_by_side;
mod stamp;
pub mod stream_rebuilds;
mod support;
pub mod sweeping;
pub mod timers;
pub mod transactions;
pub mod typed_rows;

/// A read-model database under test.
pub trait Subject: Sized {
    /// The database. Its transactions keep the rows of folds: that is how the laws write theirs.
    type Database: Database<Tx: FoldRows>;

    /// What it can and can't do.
    const CAPABILITIES: Capabilities;

    /// A new, empty database.
    fn new() -> impl Future<Output = Self>;

    /// The database, for a worker or a transaction. Every call gives the same one.
    fn database(&self) -> Self::Database;

    /// The rows of a fold's table of documents ([`Table::document`](crate::Table::document)): JSON text by key, as a
    /// reader outside of any transaction sees them. On a database where each read model has a schema of its own, the
    /// schema has the name of the table.
    fn table(&self, name: &str) -> impl Future<Output = BTreeMap<String, String>>;

    /// The rows of one of several tables of a projection, as [`table`](Self::table) gives them. Override it
    /// where each read model has a schema of its own, which has the name of the projection.
    fn table_of(&self, projection: &str, name: &str) -> impl Future<Output = BTreeMap<String, String>> {
        let _ = projection;
        self.table(name)
    }

    /// Opens the same data again, with nothing kept in memory.
    ///
    /// The laws have shut down their workers and dropped what they got from [`database`](Self::database) before.
    /// A database that can't reopen gives a new, empty one.
    fn reopen(self) -> impl Future<Output = Self>;
}

/// What a database can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Keeps its data when it is reopened.
    pub reopens: bool,
    /// Builds a read model side by side with the live one and swaps the two: its
    /// [`SIDE_BY_SIDE`](Database::SIDE_BY_SIDE) is `true`.
    pub side_by_side: bool,
    /// Lets several workers share a projection's streams: its [`PARTITIONS`](Database::PARTITIONS) is `true`.
    pub partitions: bool,
    /// Its tables have columns, which it compares ([`FoldRows::differences`]), and conditions, which it checks.
    pub columns: bool,
    /// Refuses a row whose [reference](crate::Table::with_reference) names no row.
    pub foreign_keys: bool,
}

impl Capabilities {
    /// A database that keeps its data, and has one read model and one active worker for each projection: what the
    /// defaults of [`Database`] and [`Transaction`](crate::database::Transaction) make of it.
    pub const ALONE: Self =
        Self { reopens: true, side_by_side: false, partitions: false, columns: false, foreign_keys: false };

    /// Everything.
    pub const ALL: Self =
        Self { reopens: true, side_by_side: true, partitions: true, columns: true, foreign_keys: true };
}
