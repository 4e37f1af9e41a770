#![cfg_attr(docsrs, feature(doc_cfg))]

//! Aggregates: load a business entity from its stream, decide what happens next, commit that.
//!
//! Where to start:
//! - [`Aggregate`] is what you write: a state, its events, and which events a command calls for.
//! - [`Repository`] loads aggregates ([`load`](Repository::load), [`load_at`](Repository::load_at),
//!   [`load_all`](Repository::load_all)) and carries out commands ([`execute`](Repository::execute)), over any store or the
//!   HTTP client.
//! - [`Metadata`] says who asked, and because of what; [`Context`] adds an idempotency key of the caller's.
//! - [`snapshots`] make long streams load as fast as short ones.
//! - [`ees_store::event`] is for events whose form has changed since they were stored.
//! - `testkit` (a feature): `given(events).when(command).then(events)`.

mod aggregate;
mod context;
mod error;
mod execute;
mod hydrate;
mod loaded;
mod repository;
pub mod snapshots;
#[cfg(feature = "testkit")]
pub mod testkit;
mod turns;

pub use aggregate::Aggregate;
pub use context::{Context, Metadata};
pub use error::{Error, ExecuteError};
pub use execute::Executed;
pub use loaded::Loaded;
pub use repository::Repository;
pub use snapshots::Snapshotted;
