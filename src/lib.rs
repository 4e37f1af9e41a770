//! An event store and a projection framework.
//!
//! Your commands append events to streams, the store puts all commits in one global order, and projections
//! apply that order to read models. This crate is the `ees` command, which serves a store over HTTP, and it
//! re-exports the crates that you need to embed the same parts in your own program.
//!
//! # The parts
//!
//! 1. [`store`] keeps the events. An [`EventStore`](store::EventStore) commits changesets to streams under
//!    optimistic concurrency; a [`ChangesetLog`](store::ChangesetLog) reads them in their global order. Both
//!    exist embedded ([`store::sqlite`]), in PostgreSQL and DynamoDB (features `postgres` and `dynamodb`),
//!    over HTTP ([`store::http`], [`store::client`]), and in memory for tests ([`store::memory`]).
//! 2. [`aggregate`] writes. It loads an entity from its stream, lets it decide on a command, and commits the
//!    result.
//! 3. [`projector`] reads. It applies each changeset to a read model exactly once, and rebuilds, pauses and
//!    verifies read models. Start with [`projector::Fold`] for a read model that is a state for each key;
//!    implement [`projector::Projection`] to write to the database yourself; implement [`projector::Reactor`]
//!    for effects outside the database.
//! 4. [`projections`] has ready-made projections: statistics and a catalogue of the streams.
//!
//! Depend on `ees-store`, `ees-aggregate` and `ees-projector` directly to compile only what you use.
//!
//! # From a commit to a read model
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
//! // Read models are updated asynchronously. To read your own writes, wait for them.
//! let written = committed.checkpoint.unwrap_or_default();
//! running.handle().when_reached(Statistics::NAME, written, Duration::from_secs(5)).await?;
//! let (totals, _) = Statistics::read(&read_model).await?;
//! assert_eq!((totals.total_streams, totals.total_events), (1, 2));
//! running.shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! SQLite, the HTTP server and the client are always included. Each feature adds more to the command and to
//! the crates:
//!
//! | feature | adds |
//! |---|---|
//! | `postgres` | a store and read models in PostgreSQL |
//! | `dynamodb` | a store and read models in DynamoDB, and `ees dynamodb` |
//! | `sns` | publishing to SNS topics, `ees publish` and `ees dead-letters` |
//! | `sigv4` | requests to an API with IAM authorization on AWS |
//! | `tls` | `https://` in the client, and TLS to PostgreSQL |

pub use ees_aggregate as aggregate;
pub use ees_projections as projections;
pub use ees_projector as projector;
pub use ees_store as store;

pub mod guide;
