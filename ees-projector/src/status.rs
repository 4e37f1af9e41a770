//! The status of projections and reactors.

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::projection_state::Pause;
use crate::standby::Standby;

/// What a projection is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not read its row yet.
    #[default]
    Starting,
    /// It has applied everything and waits for new changesets.
    Following,
    /// It is applying changesets and is behind the head of the log.
    CatchingUp,
    /// It was wiped and has not yet reached the checkpoint that was the head of the log then.
    Rebuilding,
    /// A step failed and is retried.
    Retrying,
    /// This program's version has no such read model: the live one has another version.
    Absent,
    /// Another worker has the lease. See `owner`.
    Elsewhere,
    /// It is paused until an operator resumes it.
    Paused,
    /// It can't go on: the log was replaced, its tables belong to a newer version, or another process runs it
    /// on the same SQLite file. See `last_error`.
    Stopped,
}

/// A projection or a reactor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It keeps a read model, which can be rebuilt.
    #[default]
    Projection,
    /// It acts outside of any read model and is never replayed.
    Reactor,
}

/// The last error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The error as text.
    pub message: String,
    /// When it happened.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// How many attempts have failed in a row.
    pub attempts: u32,
    /// The checkpoint of the changeset that failed, if a changeset did.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub checkpoint: Option<Checkpoint>,
    /// The stream of that changeset.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>))]
    pub stream_id: Option<StreamId>,
    /// The number of that changeset in its stream.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub changeset_id: Option<ChangesetId>,
}

/// The progress of a rebuild.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Rebuild {
    /// The checkpoint at which the rebuild is complete.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub until: Checkpoint,
    /// The progress in percent, from 0 to 100.
    pub percent: f64,
    /// Estimated seconds left at the current rate, once a rate is known.
    pub seconds_left: Option<f64>,
}

/// The status of a projection or a reactor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Status {
    /// The name.
    pub name: String,
    /// A projection or a reactor.
    #[serde(default)]
    pub kind: Kind,
    /// The version of the code. 0 for a reactor.
    pub version: u32,
    /// What it is doing.
    pub state: State,
    /// The checkpoint that it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The last known head of the log: the checkpoint after the newest changeset.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub head: Checkpoint,
    /// The worker that has the lease, where several workers share the database.
    pub owner: Option<String>,
    /// The lag in changesets.
    pub lag_changesets: u64,
    /// The lag in seconds: the age of the oldest changeset that is not applied yet. 0 when there is none.
    pub lag_seconds: f64,
    /// Changesets per second, over the last seconds.
    pub rate: f64,
    /// The last error. Cleared by the next success.
    pub last_error: Option<Failure>,
    /// The pause, while it is paused.
    pub pause: Option<Pause>,
    /// The number of parked streams: one of their changesets failed.
    pub parked_streams: usize,
    /// The number of parked streams that are given up: they are not retried until an operator says so.
    /// Reactors only.
    #[serde(default)]
    pub given_up_streams: usize,
    /// The checkpoints of changesets that operators skipped. A rebuild leaves them out again, unless told
    /// otherwise.
    #[serde(default)]
    pub skipped: Vec<u64>,
    /// The fingerprint of the rows at `checkpoint`, if the projection keeps one
    /// ([`Settings::fingerprint`](crate::Settings::fingerprint)): 32 digits from 0 to f. `None` also while its
    /// partitions are at different checkpoints.
    #[serde(default)]
    #[cfg_attr(feature = "http", schema(value_type = Option<String>))]
    pub fingerprint: Option<Fingerprint>,
    /// What was made of the events, since this process started. Where none is recognized, the event type or the
    /// filter is wrong.
    #[serde(default)]
    pub events: EventCounts,
    /// The effects since this process started. Reactors only.
    #[serde(default)]
    pub effects: Option<EffectCounts>,
    /// The progress of the rebuild, while there is one.
    pub rebuild: Option<Rebuild>,
    /// The partitions, if its streams are split into partitions.
    pub partitions: Vec<PartitionStatus>,
    /// The standby, while there is one of this program's version.
    pub standby: Option<StandbyStatus>,
    /// Why an operator should look: it is paused, stopped, or behind and not moving. `None` when all is well.
    pub stalled: Option<String>,
}

/// What a projection or a reactor made of the events that it read in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct EventCounts {
    /// Events that it knows, in batches that were applied.
    pub recognized: u64,
    /// Events that it passed over as somebody else's. Changesets that the filter leaves out are not counted.
    pub passed_over: u64,
    /// Events of its types that could not be read.
    pub unreadable: u64,
}

/// How many effects of a reactor ended in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct EffectCounts {
    /// Effects that were done.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// The status of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PartitionStatus {
    /// The number of the partition, from 0.
    pub partition: u32,
    /// The checkpoint that it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The worker that has the lease.
    pub owner: Option<String>,
    /// The pause, while it is paused.
    pub pause: Option<Pause>,
}

/// The status of a standby.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct StandbyStatus {
    /// The version of the code that builds it.
    pub version: u32,
    /// What is planned for it.
    pub plan: Standby,
    /// What it is doing.
    pub state: State,
    /// The checkpoint that it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Changes when the standby is created or swapped, when an operator or another worker takes it over, and with each
    /// step of a rebuild by segments.
    /// Use it to tell a new standby from an earlier one.
    pub epoch: u64,
    /// Changesets per second, over the last seconds.
    pub rate: f64,
    /// The progress of the build, while it is being built.
    pub rebuild: Option<Rebuild>,
    /// The last error. Cleared by the next success.
    pub last_error: Option<Failure>,
    /// The pause, while it is paused.
    pub pause: Option<Pause>,
    /// The worker that has the lease.
    pub owner: Option<String>,
    /// The partitions, if its streams are split into partitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionStatus>,
}
