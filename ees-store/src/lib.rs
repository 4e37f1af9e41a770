#![cfg_attr(docsrs, feature(doc_cfg))]

//! An event store: streams of changesets under optimistic concurrency, and one global order over all of them.
//!
//! A *stream* is the history of one entity, such as `account/42`. A *commit* appends one or more events to a
//! stream, with metadata, as one *changeset*. It names the changeset or event that it expects to be the
//! stream's last one, and is refused if another commit came first. The *log* is the global order of all
//! changesets; the position of a changeset in it is its *checkpoint*. Events are JSON, and read back token
//! for token.
//!
//! ```
//! use ees_store::{
//!     ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery, StreamQuery, memory,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = memory::Store::new();
//! let opened = Events::parse(r#"[{"type": "opened", "owner": "ada"}]"#)?;
//! let committed = store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
//!
//! // The next commit says what it has seen; a second "new stream" is refused.
//! let seen = Expectation::LastChangeset(committed.changeset_id);
//! let deposited = Events::parse(r#"[{"type": "deposited", "cents": 500}]"#)?;
//! store.commit(Commit::new("account/42".parse()?, seen, deposited.clone())).await?;
//! let stale = Commit::new("account/42".parse()?, Expectation::NewStream, deposited);
//! assert!(store.commit(stale).await.is_err());
//!
//! // One stream, and the log of all streams.
//! let account = store.read_stream(StreamQuery::all("account/42".parse()?)).await?;
//! assert_eq!(account.changesets.len(), 2);
//! let page = store.read(LogQuery::from(Checkpoint::START, 100)).await?;
//! assert_eq!(page.changesets[1].events.iter()?.next(), Some(r#"{"type":"deposited","cents":500}"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Which store
//!
//! | store | choose it for | feature |
//! |---|---|---|
//! | `sqlite::Store` | one machine: an embedded file, nothing to install | `sqlite` (default) |
//! | `postgres::Store` | several machines, or a PostgreSQL that you run already | `postgres` |
//! | `dynamodb::Store` | serverless applications on AWS | `dynamodb` |
//! | `client::Client` | a store behind the HTTP API of another process | `client`; `sigv4` for API Gateway |
//! | [`memory::Store`] | tests | |
//!
//! All of them implement the same two traits, [`EventStore`] and [`ChangesetLog`], so that the choice can be
//! configuration: `Arc<dyn EventStore>`. The feature `tls` adds TLS to the client and to PostgreSQL.
//!
//! # Guarantees
//!
//! - An acknowledged commit is durable. A commit that is retried with its idempotency key is stored once, as long
//!   as the store keeps the key.
//! - Of concurrent commits with the same expectation, exactly one wins.
//! - Changesets and events of a stream are numbered from 1 without gaps.
//! - The global order never changes once it was read, and readers that continue at [`LogPage::next`] miss
//!   nothing.
//!
//! Each promise is a test in `laws` (feature `laws`), which every store passes. Use them to prove a store of
//! your own.
//!
//! # Where to start
//!
//! - [`EventStore`] commits to streams, reads them, and lists the streams of a type. [`ChangesetLog`] reads
//!   the log.
//! - [`pages`] reads on past the end of a page, and follows the log as it grows.
//! - [`event`] reads events as Rust types, and upcasts those of older types and versions.
//! - `http::Api` is the HTTP API of a store as an axum router, `http::Server` serves it (feature `http`).
//! - [`publish`] has the messages for subscribers, and a publisher to SNS topics (feature `sns`).
//! - [`spans`] is what OpenTelemetry gets of all this (feature `opentelemetry`).
//! - [`decide`](decide::decide) is the pure function that accepts or refuses a commit.
//! - [`Error`] and [`Refusal`] say what can go wrong, and what to do then.
//!
//! Projections are in the crate `ees-projector`, aggregates in `ees-aggregate`.

mod by_type;
mod changeset;
mod commit;
pub mod decide;
mod error;
pub mod event;
mod filter;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod histogram;
mod id;
pub mod json;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod key_ages;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
mod key_check;
mod lenient_numbers;
mod log;
#[cfg(test)]
mod models;
pub mod pages;
pub mod publish;
mod quarantine;
mod segment;
#[cfg_attr(not(feature = "http"), allow(dead_code, reason = "event streams wait for a part of the log"))]
mod shared_log;
pub mod spans;
mod statistics;
mod store;
mod store_figures;
mod stream_list;
mod time_search;
mod timestamp;
mod trace_context;
mod xray;

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "http")]
pub mod http;

#[cfg(feature = "laws")]
pub mod laws;

pub use by_type::{TypePage, TypePosition, TypeQuery, TypedStream};
pub use changeset::{Changeset, Events, LogEntry};
pub use commit::{Commit, Committed, Expectation, IdempotencyKey};
pub use decide::{Refusal, Tail};
pub use error::{Error, Result};
pub use filter::Filter;
pub use histogram::Histogram;
pub use id::{ChangesetId, Checkpoint, EventId, InvalidName, StreamId, StreamType};
pub use json::{InvalidJson, Json};
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
pub use key_check::KeyCheck;
pub use lenient_numbers::LenientNumbers;
pub use log::{ChangesetLog, LogHead, LogId, LogPage, LogQuery};
pub use quarantine::Quarantined;
pub use segment::{Segment, SegmentPage, SegmentPlace, SegmentQuery};
pub use shared_log::SharedLog;
pub use statistics::Statistics;
pub use store::{EventStore, StreamPage, StreamQuery, StreamRange};
pub use store_figures::{CacheFigures, Connections, StoreFigures, WriterFigures};
pub use stream_list::{
    InvalidPlace, ListedStream, StreamListOrder, StreamListPage, StreamListPlace, StreamListQuery,
};
pub use time_search::{StreamPlace, checkpoint_since, stream_place_since};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use trace_context::TraceContext;

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
