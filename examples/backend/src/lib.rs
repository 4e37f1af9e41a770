//! A store and a read-model database of your own: each keeps its data in one append-only file, and passes all laws.
//!
//! - [`Store`] is an event store: [`EventStore`](ees_store::EventStore) and [`ChangesetLog`](ees_store::ChangesetLog).
//! - [`Database`] is a read-model database: a map of keys to JSON, with transactions. Each of its files implements one
//!   trait of [`ees_projector::database`].
//! - `tests/laws.rs` stamps both suites of laws.
//!
//! What it leaves out, a real backend has: both keep all data in memory, their files never shrink, and one process has
//! them alone. `docs/backends.md` says what the traits guarantee.

mod database;
mod lines;
mod store;

pub use database::{Database, Tx};
pub use store::Store;
