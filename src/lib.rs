//! An event store and a projection framework.
//!
//! This crate is the `ees` command, and a face for the crates it is made of:
//!
//! - [`store`] commits changesets to streams under optimistic concurrency, and gives each its place in one global
//!   order: embedded ([`store::sqlite`]), in PostgreSQL or DynamoDB (features of those names), over HTTP ([`store::http`],
//!   [`store::client`]), or in memory for tests.
//! - [`aggregate`] loads business entities from their streams and carries out commands on them.
//! - [`projector`] applies that order to read models, each changeset exactly once, and rebuilds them.
//! - [`projections`] are read models that everybody wants.
//!
//! Depend on the crates themselves (`ees-store`, `ees-aggregate`, `ees-projector`) to compile only what you use.
//!
//! A store, a read model and a question to it:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use ees::projections::Statistics;
//! use ees::projector::{Projector, Settings, sqlite::Database};
//! use ees::store::{Commit, EventStore, Events, Expectation, sqlite};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let folder = tempfile::tempdir()?;
//! let store = Arc::new(sqlite::Store::open(folder.path().join("log.db"))?);
//! let read_model = Database::open(folder.path().join("statistics.db"))?;
//! let mut projector = Projector::new(store.clone());
//! projector.fold(Statistics, read_model.clone(), Settings::default())?;
//! let running = projector.start();
//!
//! let opened = Events::parse(r#"[{"type": "opened"}, {"type": "deposited", "amount": 50}]"#)?;
//! let committed = store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
//!
//! // The read model follows; whoever wants to read what was just written waits for it.
//! let written = committed.checkpoint.unwrap_or_default();
//! running.handle().when_reached(Statistics::NAME, written, Duration::from_secs(5)).await?;
//! let (totals, _) = Statistics::read(&read_model).await?;
//! assert_eq!((totals.total_streams, totals.total_events), (1, 2));
//! running.shut_down().await;
//! # Ok(())
//! # }
//! ```

pub use ees_aggregate as aggregate;
pub use ees_projections as projections;
pub use ees_projector as projector;
pub use ees_store as store;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
