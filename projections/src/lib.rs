#![cfg_attr(docsrs, feature(doc_cfg))]

//! Ready-made read models for [`ees_projector`], on each of its databases.
//!
//! | read model | what it keeps | choose it for |
//! |---|---|---|
//! | [`Statistics`] | one row: the numbers of streams, changesets and events, and the length of the longest stream | an overview, `GET /streams` |
//! | [`StreamCatalogue`] | a row for each stream: its type, its length, the times of its first and last commit | lists of streams, by type or by age |
//!
//! Both read every event of the log, whatever its form. Both are [`Fold`](ees_projector::Fold)s: register them
//! with [`Projector::fold`](ees_projector::Projector::fold), or as a function with
//! [`OnDemand::fold`](ees_projector::OnDemand::fold), next to your own.
//!
//! # A tour
//!
//! Register them, each with a database of its own, and start the projector. Commit, wait until both have
//! applied the commit, and query them:
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # mod tour {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use ees_projections::{Statistics, StreamCatalogue};
//! use ees_projector::{Projector, Settings, sqlite::Database};
//! use ees_store::{Commit, EventStore, Events, Expectation, memory};
//!
//! # pub async fn tour() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let folder = tempfile::tempdir()?;
//! let totals = Database::open(folder.path().join("statistics.db"))?;
//! let catalogue = Database::open(folder.path().join("catalogue.db"))?;
//!
//! let store = Arc::new(memory::Store::new());
//! let mut projector = Projector::new(store.clone());
//! projector.fold(Statistics, totals.clone(), Settings::default())?;
//! projector.fold(StreamCatalogue, catalogue.clone(), Settings::default())?;
//! let running = projector.start();
//!
//! for stream in ["account/ada", "account/bob"] {
//!     let events = Events::parse(r#"[{"type": "opened"}, {"type": "deposited", "cents": 500}]"#)?;
//!     let committed = store.commit(Commit::new(stream.parse()?, Expectation::NewStream, events)).await?;
//!     let checkpoint = committed.checkpoint.ok_or("this store gives a checkpoint at once")?;
//!     for name in [Statistics::NAME, StreamCatalogue::NAME] {
//!         running.handle().when_reached(name, checkpoint, Duration::from_secs(20)).await?;
//!     }
//! }
//!
//! // The totals, and the checkpoint up to which they count.
//! let (statistics, checkpoint) = Statistics::read(&totals).await?;
//! assert_eq!((statistics.total_streams, statistics.total_events), (2, 4));
//! assert_eq!(checkpoint, 2.into());
//!
//! // The catalogue has a column for each field; its key is the stream id.
//! let query = "SELECT stream_id, events FROM stream_catalogue ORDER BY stream_id";
//! let streams = catalogue.read(move |connection| {
//!     let mut statement = connection.prepare(query)?;
//!     let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
//!     rows.collect::<Result<Vec<(String, u64)>, _>>()
//! });
//! assert_eq!(streams.await?, [("account/ada".to_owned(), 2), ("account/bob".to_owned(), 2)]);
//! running.shut_down().await;
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "sqlite")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(tour::tour()).unwrap();
//! ```
//!
//! # The other databases
//!
//! | feature | database | the totals | a page of the catalogue |
//! |---|---|---|---|
//! | `sqlite` (default) | a file for each | `Statistics::read` | `StreamCatalogue::read` |
//! | `postgres` | a schema for each | `Statistics::read_postgres` | `StreamCatalogue::read_postgres` |
//! | `dynamodb` | one table | `Statistics::read_dynamodb` | `StreamCatalogue::read_dynamodb` |

mod statistics;
mod stream_catalogue;

pub use statistics::{Statistics, Totals};
pub use stream_catalogue::{CatalogueEntry, StreamCatalogue};

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
