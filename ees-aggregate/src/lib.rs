#![cfg_attr(docsrs, feature(doc_cfg))]

//! Aggregates: load a business entity from its stream, decide what happens next, commit that.
//!
//! You write an [`Aggregate`]: a state, its events, and the decisions that commands lead to, all of it pure.
//! A [`Repository`] loads the state, lets the aggregate decide, and commits the events on the condition that
//! the stream has not changed; after a conflict it reads the new events and decides again.
//!
//! ```
//! use std::convert::Infallible;
//! use std::sync::Arc;
//!
//! use ees_aggregate::{Aggregate, Repository};
//! use ees_store::memory;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", rename_all = "snake_case")]
//! enum AccountEvent { Deposited { cents: u64 } }
//!
//! struct Deposit { cents: u64 }
//!
//! #[derive(Default)]
//! struct Account { cents: u64 }
//!
//! impl Aggregate for Account {
//!     const TYPE: &'static str = "account";
//!     type Event = AccountEvent;
//!     type Command = Deposit;
//!     type Error = Infallible;
//!
//!     fn apply(&mut self, AccountEvent::Deposited { cents }: &AccountEvent) {
//!         self.cents += cents;
//!     }
//!
//!     fn decide(&self, command: &Deposit) -> Result<Vec<AccountEvent>, Infallible> {
//!         Ok(vec![AccountEvent::Deposited { cents: command.cents }])
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = Repository::<Account>::new(Arc::new(memory::Store::new()));
//! let executed = accounts.execute(&"account/ada".parse()?, &Deposit { cents: 500 }).await?;
//! assert_eq!(executed.aggregate.cents, 500);
//! # Ok(())
//! # }
//! ```
//!
//! # When to choose what
//!
//! - Commands that depend on the history of one entity: an aggregate.
//! - Rows for queries, over many entities: a projection of the crate `ees-projector`.
//! - Appending without a decision: [`EventStore::commit`](ees_store::EventStore::commit).
//!
//! # Guarantees
//!
//! - A decision is committed only if its state was the latest one, over any number of processes.
//! - The events of a command are stored together, in one changeset, or not at all.
//! - A command with an idempotency key ([`Context::with_key`]) is executed once, however often it is retried, as
//!   long as the store keeps the key.
//! - Snapshots are only a cache: a wrong, old or missing one never changes a state.
//!
//! # Where to start
//!
//! - [`Aggregate`], with an example of commands that are refused.
//! - [`Repository`]: [`load`](Repository::load), [`load_at`](Repository::load_at),
//!   [`load_all`](Repository::load_all) and [`execute`](Repository::execute), over any store or the HTTP
//!   client.
//! - [`Context`] adds [`Metadata`] (who sent the command, and why) and an idempotency key.
//! - `testkit` (feature `testkit`) tests an aggregate: `given(events).when(command).then(events)`.
//! - [`snapshots`] make long streams load as fast as short ones.
//! - [`ees_store::event`] upcasts events whose form has changed since they were stored.

mod aggregate;
mod context;
mod error;
mod execute;
mod hydrate;
mod loaded;
mod repository;
pub mod snapshots;
mod spans;
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

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
