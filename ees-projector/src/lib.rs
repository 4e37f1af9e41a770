#![cfg_attr(docsrs, feature(doc_cfg))]

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

pub mod database;
mod error;
mod event;
mod fold;
mod host;
#[cfg(feature = "laws")]
pub mod laws;
mod partition;
mod policy;
mod projection;
mod projection_state;
pub mod reactor;
pub mod read_model;
mod read_model_id;
mod settings;
mod standby;
mod status;
mod subscription;
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

#[cfg(feature = "derive")]
pub use ees_projector_derive::ReadModel;
pub use ees_store::event::{Reading, read_event};
pub use error::BoxError;
pub use event::{Recorded, UnreadableEvent};
pub use fold::Fold;
pub use host::handle::Handle;
pub use host::on_demand::OnDemand;
pub use host::projector::{Projector, Running};
pub use host::registration::RegisterError;
pub use host::verification::Verification;
pub use partition::Split;
pub use policy::{OnFailure, Parking, Retry};
pub use projection::{Order, Projection};
pub use projection_state::{
    AuditEntry, ChangesetRef, FailedChangeset, ParkedStream, Pause, PausedBy, Position, ProjectionState,
};
pub use reactor::Reactor;
pub use reactor::process_manager;
#[cfg(feature = "sns")]
pub use reactor::publisher;
#[cfg(feature = "webhook")]
pub use reactor::webhook;
pub use read_model::{ReadModel, Table};
pub use read_model_id::{ReadModelId, Slot};
pub use settings::{NewVersion, Settings};
pub use standby::{Comparison, SideBySide, Standby, StandbyRole};
pub use status::{EffectCounts, Failure, Kind, PartitionStatus, Rebuild, StandbyStatus, State, Status};
pub use subscription::Subscription;
pub use worker::operations::operation::OperateError;
pub use worker::outcome::Drained;
pub use worker::side_by_side::estimate::Estimate;
