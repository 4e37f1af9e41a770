//! What can be seen of a projection.

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::projection_state::Pause;
use crate::standby::Standby;

/// What a projection is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not read its own row yet.
    #[default]
    Starting,
    /// It has applied everything, and waits for more.
    Following,
    /// It applies what it has not seen yet.
    CatchingUp,
    /// It was wiped, and has not yet reached where the log ended then.
    Rebuilding,
    /// Something failed, and is tried again.
    Retrying,
    /// Not there for this program: the one that is read is another version's.
    Absent,
    /// Another worker is at work in it; see the owner.
    Elsewhere,
    /// It stands still until it is resumed.
    Paused,
    /// It can't go on: the log was replaced, or its tables belong to a newer version. See the error.
    Stopped,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It keeps a read model, which can be built anew.
    #[default]
    Projection,
    /// It acts outside of any read model, and is never replayed.
    Reactor,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Failure {
    /// What, in words.
    pub message: String,
    /// When.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub at: Timestamp,
    /// How often in a row.
    pub attempts: u32,
    /// The changeset it failed at, if it was one.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub checkpoint: Option<Checkpoint>,
    /// Its stream.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>))]
    pub stream_id: Option<StreamId>,
    /// Its number in the stream.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub changeset_id: Option<ChangesetId>,
}

/// How far a rebuild is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Rebuild {
    /// The checkpoint at which it is done.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub until: Checkpoint,
    /// 0 to 100.
    pub percent: f64,
    /// Seconds left at the current rate, once there is one.
    pub seconds_left: Option<f64>,
}

/// All that can be seen of a projection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Status {
    /// Its name.
    pub name: String,
    /// A projection or a reactor.
    #[serde(default)]
    pub kind: Kind,
    /// Its version; 0 for a reactor.
    pub version: u32,
    /// What it is doing.
    pub state: State,
    /// The checkpoint it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The checkpoint after the newest changeset of the log, as far as known.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub head: Checkpoint,
    /// The worker that is at work in it, where several share a database.
    pub owner: Option<String>,
    /// How many changesets it is behind.
    pub lag_changesets: u64,
    /// How many seconds ago the oldest changeset was committed that it has not applied; 0 when there is none.
    pub lag_seconds: f64,
    /// Changesets a second, over the last seconds.
    pub rate: f64,
    /// What went wrong last, until it went right again.
    pub last_error: Option<Failure>,
    /// Why it is paused, if it is.
    pub pause: Option<Pause>,
    /// Streams that wait because one of their changesets failed.
    pub parked_streams: usize,
    /// Of these, those that a reactor has given up on: they wait for an operator.
    #[serde(default)]
    pub given_up_streams: usize,
    /// Of a reactor, its effects since this process began.
    #[serde(default)]
    pub effects: Option<EffectCounts>,
    /// How far the rebuild is, while there is one.
    pub rebuild: Option<Rebuild>,
    /// The partitions, where its streams are dealt out.
    pub partitions: Vec<PartitionStatus>,
    /// The read model beside it, while there is one that this program can work on.
    pub standby: Option<StandbyStatus>,
    /// Why somebody should look: it is paused, stopped, or behind and not moving. `None` when all is well.
    pub stalled: Option<String>,
}

/// How many effects a reactor's worker saw the end of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct EffectCounts {
    /// Done.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// A part of a projection's streams, and who is at work in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct PartitionStatus {
    /// Which one, from 0.
    pub partition: u32,
    /// The checkpoint it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The worker that is at work in it.
    pub owner: Option<String>,
    /// Why it is paused, if it is.
    pub pause: Option<Pause>,
}

/// A read model beside the live one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct StandbyStatus {
    /// Its version.
    pub version: u32,
    /// What it is for.
    pub plan: Standby,
    /// What it is doing.
    pub state: State,
    /// The checkpoint it reads next.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Changes when it is made, when it is swapped, and when an operator or another worker takes it over: for telling
    /// one that was made just now from the one that was there before.
    pub epoch: u64,
    /// Changesets a second, over the last seconds.
    pub rate: f64,
    /// How far it is, while it is being built.
    pub rebuild: Option<Rebuild>,
    /// What went wrong last, until it went right again.
    pub last_error: Option<Failure>,
    /// Why it is paused, if it is.
    pub pause: Option<Pause>,
    /// The worker that is at work in it.
    pub owner: Option<String>,
}
