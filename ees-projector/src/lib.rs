//! Projections applied exactly once: from the one global order of an event store to read models.
//!
//! Where to start:
//! - [`Fold`] is how most read models are written: a key and a pure function. [`Projection`] is for statements of
//!   your own, on the transaction that also moves the checkpoint.
//! - [`Reactor`] is for what happens outside of a database: a mail, a message; recorded in a ledger, and never in a replay.
//!   `webhook::HttpReactor` posts events to a URL, [`process_manager::CommitReactor`] commits what follows from them.
//! - [`ReadModel`] makes columns of a fold's state; without it, rows are JSON documents.
//! - [`Projector`] runs several of them, each at its own checkpoint; [`Handle`] shows, steers and awaits them.
//! - [`sqlite::Database`] keeps read models in a file each, [`postgres::Database`] in a schema each, for any number of
//!   processes; `dynamodb::Database` in a table of DynamoDB, for functions; [`memory::Database`] is for tests.
//! - [`database`] is what a read-model database implements, and `laws` is what every one keeps, as tests for yours.
//! - `testkit` gives events and expects rows, and looks for the order of crashes that breaks a projection.
//!
//! How exactly once comes about (module `worker::step`): a page of the log is read and decoded with no transaction open;
//! then, in one transaction, the projection's row is moved by compare-and-set (the fence), the events are applied,
//! and all of it is committed. A second worker, or one that was asleep, finds the row moved and changes nothing. A
//! crash leaves either both or neither.

// For what `#[derive(ReadModel)]` expands to inside of this crate.
#[cfg(feature = "laws")]
extern crate self as ees_projector;

mod control;

pub mod database;
mod event;
mod fold;
mod handle;
#[cfg(feature = "laws")]
pub mod laws;
mod live;
mod look_again;
mod member;
mod on_demand;
mod operation;
mod partition;
mod passing;
mod policy;
pub mod process_manager;
mod projection;
mod projector;
pub mod reactor;
mod settings;
mod slot;
mod standby;
mod status;
mod verification;
mod waiting;
mod worker;

#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod read_model;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "aws-lambda")]
pub mod lambda;
#[cfg(feature = "sns")]
pub mod publisher;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "testkit")]
pub mod testkit;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use control::{Applied, AuditEntry, Control, FailedChangeset, ParkedStream, Pause, PausedBy, Position};
#[cfg(feature = "derive")]
pub use ees_projector_derive::ReadModel;
pub use ees_store::event::{Reading, read_event};
pub use event::{Recorded, UnreadableEvent};
pub use fold::Fold;
pub use handle::Handle;
pub use on_demand::OnDemand;
pub use operation::OperateError;
pub use partition::Split;
pub use policy::{OnFailure, Parking, Retry};
pub use projection::{BoxError, Order, Projection};
pub use projector::{Projector, RegisterError, Running, drain_until};
pub use reactor::Reactor;
pub use read_model::{ReadModel, Table};
pub use settings::{NewVersion, Settings};
pub use standby::{Comparison, SideBySide, Standby, StandbyRole};
pub use status::{EffectCounts, Failure, Kind, PartitionStatus, Rebuild, StandbyStatus, State, Status};
pub use verification::{Estimate, Verification};
pub use worker::runner::Drained;
