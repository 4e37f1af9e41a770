#![cfg_attr(docsrs, feature(doc_cfg))]

//! Projections and reactors for the [`ees_store`] event store.
//!
//! A projection reads the log of all changesets in order and keeps a *read model*: tables that answer
//! queries. The rows and the position of the projection change in one transaction, so each event changes the
//! tables exactly once, also after a crash. A read model is made of the log only: it can be rebuilt at any
//! time.
//!
//! # A first projection
//!
//! A fold needs a key and a pure function. The key says which row an event belongs to; the function makes the
//! new row from the old one. The `testkit` runs it on a history, without a server and without a database.
//!
//! ```
//! use ees_projector::testkit::given;
//! use ees_projector::{Fold, Recorded};
//! use serde::{Deserialize, Serialize};
//! use serde_json::json;
//!
//! #[derive(Deserialize)]
//! #[serde(tag = "type", rename_all = "snake_case")]
//! enum AccountEvent {
//!     Opened { owner: String },
//!     Deposited { cents: i64 },
//!     Closed,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Account {
//!     owner: String,
//!     cents: i64,
//! }
//!
//! struct Accounts;
//!
//! impl Fold for Accounts {
//!     type Event = AccountEvent;
//!     type Key = String;
//!     type State = Account;
//!
//!     fn name(&self) -> &str {
//!         "accounts"
//!     }
//!
//!     fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
//!         Some(event.stream_id().to_string())
//!     }
//!
//!     fn fold(&self, row: Option<Account>, event: Recorded<'_, AccountEvent>) -> Option<Account> {
//!         match event.event {
//!             AccountEvent::Opened { owner } => Some(Account { owner: owner.clone(), cents: 0 }),
//!             AccountEvent::Deposited { cents } => row.map(|row| Account { cents: row.cents + cents, ..row }),
//!             AccountEvent::Closed => None,
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let history = given([
//!     ("account/1", json!({"type": "opened", "owner": "ada"})),
//!     ("account/2", json!({"type": "opened", "owner": "bob"})),
//!     ("account/1", json!({"type": "deposited", "cents": 50})),
//!     ("account/2", json!({"type": "closed"})),
//! ]);
//! let ada = Account { owner: "ada".to_owned(), cents: 50 };
//! history.fold(Accounts).await.expect([("account/1", ada)]);
//! // Crashes, other batches and repeated deliveries must not change the result.
//! history.check_fold(|| Accounts).await;
//! # }
//! ```
//!
//! To run it, register it with a [`Projector`]:
//!
//! ```no_run
//! # use ees_projector::{Fold, Recorded};
//! # struct Accounts;
//! # impl Fold for Accounts {
//! #     type Event = serde_json::Value; type Key = String; type State = i64;
//! #     fn name(&self) -> &str { "accounts" }
//! #     fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.stream_id().to_string()) }
//! #     fn fold(&self, row: Option<i64>, _: Recorded<'_, serde_json::Value>) -> Option<i64> { Some(row.unwrap_or(0) + 1) }
//! # }
//! use std::sync::Arc;
//!
//! use ees_projector::{Projector, Settings, sqlite};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let log = Arc::new(ees_store::memory::Store::new()); // any store, or the HTTP client of one
//! let mut projector = Projector::new(log);
//! projector.fold(Accounts, sqlite::Database::open("accounts.db")?, Settings::default())?;
//! let running = projector.start();
//! tokio::signal::ctrl_c().await?;
//! running.shut_down().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Fold, projection or reactor?
//!
//! - [`Fold`]: one event changes one row. The simplest and the fastest. By default each row is a JSON
//!   document; `#[derive(ReadModel)]` on the state gives it columns ([`ReadModel`](trait@ReadModel)).
//! - [`MultiFold`]: one event changes several rows.
//! - [`Composite`]: several folds as one projection. Its later stages may look up rows of earlier ones
//!   ([`LookupFold`]).
//! - [`Projection`]: you need SQL of your own. It writes in the transaction
//!   that also moves the position.
//! - [`Reactor`]: something must happen outside of the database, such as a mail or a call of another system.
//!   At least once, recorded in a ledger, and never in a rebuild. Ready-made: `webhook::HttpReactor` posts
//!   events to a URL, [`process_manager::CommitReactor`] commits what follows from an event to another
//!   stream, `publisher::Publishing` sends changesets and events to SNS topics.
//!
//! # Which database?
//!
//! - `sqlite::Database`: a file. For one process.
//! - `postgres::Database`: a schema for each read model. For any number of processes; the only one that
//!   rebuilds side by side, swaps and rolls back, and splits a projection into partitions.
//! - `dynamodb::Database`: a DynamoDB table. For functions.
//! - [`memory::Database`]: for tests.
//! - A database of your own: implement the traits in [`database`].
//!
//! # Running
//!
//! - [`Projector`] runs projections and reactors in a process that stays. Each has a position of its own.
//! - [`Projector::watch`] keeps a fold in memory, as a value that follows the log: for caches and tests.
//! - [`OnDemand`] runs one when it is called, until there is nothing new or the time is over.
//! - `lambda::Function` makes an AWS Lambda function of that, for a queue, a table's stream or a schedule.
//!   [`OnDemand::handle`] is for operators of what runs so.
//! - `sqs::Worker` wakes the projections of a process when a message announces new changesets.
//!
//! [`Settings`] has the batch sizes, the retries, what happens to a changeset that can't be applied
//! ([`OnFailure`]: pause the projection, or park the stream) and what a new version does ([`NewVersion`]).
//!
//! # Operating
//!
//! [`Handle`] shows the [`Status`] of each projection, waits until it has applied a changeset, and carries
//! out what operators ask for: pause, resume, skip, retry, rebuild, swap, roll back, verify.
//! `http::install` adds the same to the HTTP API of a store, under `/projections`, with metrics and
//! readiness.
//!
//! # Where each guarantee comes from
//!
//! - *Exactly once*: the worker reads and decodes a page of the log with no transaction open. Then one
//!   transaction moves the projection's row by compare-and-set (the fence), applies the events and commits. A
//!   crash leaves all of it or nothing. A second worker, or one that was asleep, fails at the fence before it
//!   has written anything. (DynamoDB checks the fence at commit.)
//! - *In order*: a projection reads the log in its global order. A parked stream keeps its own order, and
//!   only projections that declare [`Order::Stream`] may park.
//! - *Nothing is skipped silently*: a changeset that can't be applied pauses the projection or parks its
//!   stream. Only an operator skips it, with a reason that the audit keeps.
//! - *The right log*: before it goes on, a worker checks that the log still has the last changeset that it
//!   applied. If the log was replaced or restored, the projection stops and says so.
//! - *At least once for reactors*: a reactor acts first, then moves its position. The ledger records each
//!   effect before and after, so that a crash repeats only what was in progress, under the same idempotency
//!   key.
//!
//! # Features
//!
//! | feature | default | gives |
//! |---|---|---|
//! | `sqlite` | yes | `sqlite`: read models in SQLite files |
//! | `derive` | yes | `#[derive(ReadModel)]`: a fold's state as columns |
//! | `postgres` | | `postgres`: read models in PostgreSQL |
//! | `dynamodb` | | `dynamodb`: read models in a DynamoDB table |
//! | `tls` | | TLS to PostgreSQL and to webhooks |
//! | `http` | | `http`: the routes under `/projections` |
//! | `webhook` | | `webhook`: the reactor that posts events to a URL |
//! | `sns` | | `publisher`: the reactor that sends changesets and events to SNS topics |
//! | `sqs` | | `sqs`: projections that SQS messages wake, and a client for the messages |
//! | `aws-lambda` | | `lambda`: projections and the publisher as AWS Lambda functions |
//! | `api-gateway` | | `lambda::Gateway`: an API as a function behind API Gateway, and a projection's for its operators |
//! | `preview` | | `preview::main`: a ready-made program that tells what a new version would change |
//! | `testkit` | | `testkit`: tests for folds and projections |
//! | `laws` | | `laws`: the tests that a read-model database of your own must pass |

// For what `#[derive(ReadModel)]` expands to inside of this crate.
#[cfg(feature = "laws")]
extern crate self as ees_projector;

mod as_of;
mod clock;
mod composite;
pub mod database;
mod error;
mod event;
mod event_enum;
mod explanation;
mod fingerprint;
mod fold;
mod folded;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod host;
#[cfg(feature = "laws")]
pub mod laws;
mod lookup_fold;
#[cfg(test)]
mod models;
mod multi_fold;
mod partition;
mod policy;
pub mod preview;
mod projection;
mod projection_state;
pub mod reactor;
pub mod read_model;
mod read_model_id;
mod rebuilt_streams;
mod segment_progress;
mod settings;
mod spans;
mod stage;
mod standby;
mod status;
mod subscription;
mod watched;
mod worker;

#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "aws-lambda")]
pub mod lambda;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use as_of::{AsOf, AsOfProgress, AsOfStatus};
pub use clock::Clock;
pub use composite::{Composite, IntoComposite, InvalidStage};
#[cfg(feature = "derive")]
pub use ees_projector_derive::ReadModel;
pub use ees_store::event::{Reading, read_event};
pub use error::BoxError;
pub use event::{Recorded, UnreadableEvent};
pub use explanation::{Explain, ExplainProgress, Explanation, LeftOut, Step, WhyLeftOut, Writer};
pub use fingerprint::{Fingerprint, FingerprintCheck, InvalidFingerprint};
pub use fold::Fold;
#[doc(hidden)]
pub use host::compiled::compiled;
pub use host::handle::Handle;
pub use host::on_demand::OnDemand;
pub use host::passed::{Passed, PassedBy, Verdict};
pub use host::projector::{Projector, Running};
pub use host::registration::RegisterError;
pub use host::verification::Verification;
#[doc(hidden)]
pub use lookup_fold::NoLookup;
pub use lookup_fold::{Found, LookupFold};
pub use multi_fold::MultiFold;
pub use partition::Split;
pub use policy::{OnFailure, Parking, Retry};
pub use preview::{Preview, PreviewOptions};
pub use projection::{Order, Projection, TablesChecked};
pub use projection_state::{
    AuditEntry, ChangesetRef, FailedChangeset, ParkedStream, Pause, PausedBy, Position, ProjectionState,
    Skipped,
};
pub use reactor::Reactor;
pub use reactor::process_manager;
#[cfg(feature = "sns")]
pub use reactor::publisher;
#[cfg(feature = "webhook")]
pub use reactor::webhook;
pub use read_model::{ReadModel, Table};
pub use read_model_id::{ReadModelId, Slot};
pub use rebuilt_streams::{RebuildStreams, RebuiltRow, RebuiltStreams};
pub use segment_progress::SegmentProgress;
pub use settings::{NewVersion, Settings};
pub use standby::{Comparison, InPlace, SideBySide, Standby, StandbyRole};
pub use status::{
    EffectCounts, EventCounts, Failure, Kind, PartitionStatus, Rebuild, StandbyStatus, State, Status,
};
pub use subscription::Subscription;
pub use watched::{Snapshot, Watched, Watching};
pub use worker::operations::operation::OperateError;
pub use worker::outcome::Drained;
pub use worker::side_by_side::estimate::{Estimate, SegmentsEstimate};

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
