#![cfg_attr(docsrs, feature(doc_cfg))]

//! An event store: streams of changesets under optimistic concurrency, and one global order over all of them.
//!
//! Where to start:
//! - [`EventStore`] commits to streams, reads them, and lists those of a type; [`ChangesetLog`] reads everything in global order.
//! - [`sqlite::Store`] is the embedded default, `postgres::Store` is for several machines, `dynamodb::Store` for none, [`memory::Store`] is for
//!   tests, and `client::Client` talks to a store elsewhere. All of them are both traits.
//! - `http::Api` is a store as an axum router, and `http::Server` serves it.
//! - [`event`] reads events as types, also those that were called otherwise when they were stored.
//! - [`pages`] reads on past the end of a page, and follows the log as it grows.
//! - [`publish`] is the form of messages to subscribers, and puts them on SNS topics.
//! - [`decide`](decide::decide) is where a commit is accepted or refused: a pure function.
//! - `laws` is what every store keeps, as tests for yours.
//!
//! ```
//! use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery, memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = memory::Store::new();
//! let opened = Events::parse(r#"[{"type": "opened"}]"#)?;
//! store.commit(Commit::new("account/42".parse()?, Expectation::NewStream, opened)).await?;
//!
//! let page = store.read(LogQuery::from(Checkpoint::START, 100)).await?;
//! assert_eq!(page.changesets[0].stream_id.as_str(), "account/42");
//! # Ok(())
//! # }
//! ```

mod by_type;
mod changeset;
mod commit;
pub mod decide;
mod error;
pub mod event;
mod filter;
mod id;
pub mod json;
mod log;
pub mod pages;
pub mod publish;
mod statistics;
mod store;
mod timestamp;

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
pub use changeset::{Changeset, Events, Indexed};
pub use commit::{Commit, Committed, Expectation, IdempotencyKey};
pub use decide::{Refusal, Tail};
pub use error::{Error, Result};
pub use filter::Filter;
pub use id::{ChangesetId, Checkpoint, EventId, InvalidName, StreamId, StreamType};
pub use json::{InvalidJson, Json};
pub use log::{ChangesetLog, LogHead, LogId, LogPage, LogQuery};
pub use statistics::Statistics;
pub use store::{EventStore, StreamPage, StreamQuery, StreamRange};
pub use timestamp::{InvalidTimestamp, Timestamp};
