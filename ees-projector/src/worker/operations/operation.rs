//! Operators' actions on a projection, and why they can be refused.

use ees_store::{ChangesetId, Checkpoint, StreamId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{BoxError, chain};
use crate::standby::{InPlace, SideBySide};
use crate::worker::stream_rebuild::StreamRebuild;

/// A request to a worker, with the channel for its answer.
pub(crate) struct Operation {
    pub(crate) action: Action,
    pub(crate) reason: String,
    pub(crate) asked: Instant,
    /// Closed when nobody waits for the answer any more.
    pub(crate) reply: oneshot::Sender<Result<(), OperateError>>,
}

/// An operator's action on a projection.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Pause,
    Resume,
    /// Skips one changeset: the next one of the projection, or the first one of a parked
    /// stream.
    Skip(Checkpoint),
    SetCheckpoint {
        believed: Checkpoint,
        wanted: Checkpoint,
    },
    Rebuild(InPlace),
    /// Replaces the rows of some streams, or finds those that differ.
    RebuildStreams(StreamRebuild),
    BuildStandby(SideBySide),
    /// Swaps the standby with the live read model.
    Swap {
        /// `true`: roll back to the read model that was live before. `false`: swap in the one that was built.
        back: bool,
        force: bool,
    },
    /// Sets the number of partitions.
    SetPartitions(u32),
    /// Discards the standby.
    Discard,
    /// Retries parked streams: one, or all.
    Retry(Option<StreamId>),
    /// Skips a changeset of a reactor and discards its effects.
    DiscardEffects(Checkpoint),
    /// Cancels a timer of a reactor.
    CancelTimer {
        stream_id: StreamId,
        key: String,
    },
    /// Reads the row again, which another worker's operation has changed. Not an operator's.
    Look,
}

impl Action {
    /// Returns `true` if it concerns one changeset, one stream or one position. A projection in partitions has no single
    /// position.
    pub(crate) fn concerns_one_position(&self) -> bool {
        matches!(
            self,
            Self::Skip(_)
                | Self::DiscardEffects(_)
                | Self::CancelTimer { .. }
                | Self::SetCheckpoint { .. }
                | Self::Retry(_)
        )
    }

    /// Whether it changes the row of the other read model of the projection as well.
    pub(crate) fn changes_both(&self) -> bool {
        matches!(self, Self::BuildStandby(_) | Self::Swap { .. } | Self::Discard)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Skip(_) => "skip",
            Self::SetCheckpoint { .. } => "set_checkpoint",
            Self::Rebuild(_) => "rebuild",
            Self::RebuildStreams(_) => "rebuild_streams",
            Self::BuildStandby(_) => "rebuild_side_by_side",
            Self::Swap { back: false, .. } => "swap",
            Self::Swap { back: true, .. } => "rollback",
            Self::SetPartitions(_) => "set_partitions",
            Self::Discard => "discard",
            Self::Retry(_) => "retry",
            Self::DiscardEffects(_) => "discard_effects",
            Self::CancelTimer { .. } => "cancel_timer",
            Self::Look => "look",
        }
    }
}

fn no_changeset(stream_id: &StreamId, changeset_id: ChangesetId) -> String {
    if changeset_id == ChangesetId::NONE.next() {
        return format!("there is no stream \"{stream_id}\" in the log");
    }
    format!("stream \"{stream_id}\" has no changeset {changeset_id} in the log")
}

/// Why an operator's request was refused. Nothing was changed, unless the variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// There is no projection with this name in this process.
    #[error(
        "there is no projection or reactor \"{name}\" in this process; there are: {known}. If another process \
         runs it, ask that one"
    )]
    Unknown {
        /// The name in the request.
        name: String,
        /// The names of this process's projections.
        known: String,
    },
    /// The projection is at another checkpoint. Read its status again before you decide.
    #[error("the projection is now at checkpoint {checkpoint}")]
    Moved {
        /// Its current checkpoint.
        checkpoint: Checkpoint,
    },
    /// The checkpoint lies past the end of the log.
    #[error("the log ends before checkpoint {head}")]
    PastHead {
        /// The head of the log.
        head: Checkpoint,
    },
    /// Only the next changeset of the projection, or the first one of a parked stream, can be
    /// skipped.
    #[error(
        "the changeset at checkpoint {checkpoint} is neither the next one of the projection nor the first \
         one of a parked stream: only those can be skipped"
    )]
    NotSkippable {
        /// The checkpoint in the request.
        checkpoint: Checkpoint,
    },
    /// There is no changeset at this checkpoint.
    #[error("there is no changeset at checkpoint {checkpoint}")]
    NoChangesetAt {
        /// The checkpoint in the request.
        checkpoint: Checkpoint,
    },
    /// The log does not have this changeset of the stream.
    #[error("{}", no_changeset(stream_id, *changeset_id))]
    NoChangeset {
        /// The stream.
        stream_id: StreamId,
        /// The changeset in the request.
        changeset_id: ChangesetId,
    },
    /// The stream is not parked, or no stream is.
    #[error("this stream is not parked, or no stream is")]
    NotParked,
    /// The stream has no timer with this key.
    #[error("stream \"{stream_id}\" has no timer \"{key}\": it has fired, was cancelled, or was never set")]
    NoTimer {
        /// The stream.
        stream_id: StreamId,
        /// The key in the request.
        key: String,
    },
    /// A reactor has no read model to rebuild, verify or estimate.
    #[error(
        "\"{name}\" is a reactor and has no read model: a rebuild would repeat everything it ever did. To \
         repeat what lies after a checkpoint, except the effects that the ledger has as done, set its \
         checkpoint back"
    )]
    IsReactor {
        /// The name of the reactor.
        name: String,
    },
    /// The database can't do this. The message says what you can do instead.
    #[error("{0}")]
    NotSupported(&'static str),
    /// The projection is split into partitions, and this requires a projection that is not.
    #[error("the projection is split into partitions: set their number to 1 first, which needs no rebuild")]
    Partitioned,
    /// The standby gets as many partitions as the live read model has, before a swap. That is not done yet.
    #[error(
        "the standby does not have as many partitions as the live read model yet: it is being given them, so try again"
    )]
    PartitionsDiffer,
    /// A projection with [`Order::Log`](crate::Order::Log) can't be split into partitions.
    #[error("the projection needs the global order (Order::Log), so it can't be split into partitions")]
    NeedsLogOrder,
    /// The number of partitions is not one that the database takes.
    #[error("the number of partitions must be 1 to {max}")]
    PartitionCount {
        /// The largest number.
        max: u32,
    },
    /// The projection has no standby.
    #[error("the projection has no standby")]
    NoStandby,
    /// The standby was never live. Use `swap` instead of `rollback`.
    #[error("the standby was never live, so there is nothing to roll back to: use `swap` to make it live")]
    NeverLive,
    /// The standby was live before. Use `rollback` instead of `swap`.
    #[error("the standby was live before: use `rollback` to make it live again")]
    WasLive,
    /// Streams of the standby are parked.
    #[error("streams of the standby are parked: retry or skip them, or use force")]
    StandbyParked,
    /// The standby is not complete yet.
    #[error("the standby is still being built")]
    StillBuilding,
    /// A standby is being built already.
    #[error("a standby is being built already: let it finish, swap it, or discard it")]
    AlreadyBuilding,
    /// Transactions of readers are open that would see half a read model after a swap.
    #[error(
        "transactions are open that began before the standby was complete, and would see half of it: end \
         them and try again, or use force"
    )]
    OldReaders,
    /// A rebuild in place would drop what others added to the tables, and could not make it again.
    #[error(
        "the rebuild would drop what others added to the tables of the projection, and could not make it again: \
         {objects}. Save what you need of it and drop it, or use force"
    )]
    WouldDrop {
        /// The columns, triggers and so on.
        objects: String,
    },
    /// Another process is verifying the projection.
    #[error("another process is verifying the projection; try again later")]
    AlreadyVerifying,
    /// The projection was never started here.
    #[error("the projection was never started here")]
    NeverStarted,
    /// This program's version has no such read model.
    #[error(
        "this program's version has no such read model: the live one has another version, or there is no \
         standby"
    )]
    Absent,
    /// The projection, its log or its database refused it. The message says why. Parked streams that were
    /// retried before stay applied.
    #[error("{0}")]
    Failed(String),
    /// Other workers kept moving the projection meanwhile. Try again. Parked streams that were retried before
    /// stay applied.
    #[error("other workers keep moving the projection; try again")]
    Overtaken,
    /// The user of the read-model database lacks permission to do it. Nothing was changed.
    #[error("the read-model database does not allow it: {0}")]
    NotAuthorized(String),
    /// It can't be done now. The message says why. Look at the status, then try again: if the database did
    /// not answer a commit, the change may have been made.
    #[error("{0}")]
    Unavailable(String),
    /// The projection did not reach the checkpoint in time.
    #[error("the projection is at checkpoint {checkpoint} and did not reach {wanted} in time")]
    TimedOut {
        /// Its current checkpoint.
        checkpoint: Checkpoint,
        /// The checkpoint that it should have reached.
        wanted: Checkpoint,
    },
    /// The log did not get the changeset in time: it does not exist, or has no checkpoint yet.
    #[error("stream \"{stream_id}\" has no changeset {changeset_id} in the log and did not get one in time")]
    NotInLog {
        /// The stream.
        stream_id: StreamId,
        /// The changeset in the request.
        changeset_id: ChangesetId,
    },
}

impl OperateError {
    /// The code by which the HTTP API names it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "PROJECTION_NOT_FOUND",
            Self::NoTimer { .. } => "TIMER_NOT_FOUND",
            Self::Moved { .. } => "PROJECTION_MOVED",
            Self::TimedOut { .. } | Self::NotInLog { .. } => "TIMEOUT",
            Self::NotAuthorized(_) => "NOT_AUTHORIZED",
            Self::Unavailable(_) | Self::Overtaken => "UNAVAILABLE",
            // Never, on this database.
            Self::NotSupported(_) => "NOT_SUPPORTED",
            // Not in the state that the projection, its standby or the log is in.
            Self::PastHead { .. }
            | Self::NotSkippable { .. }
            | Self::NoChangesetAt { .. }
            | Self::NoChangeset { .. }
            | Self::NotParked
            | Self::IsReactor { .. }
            | Self::Partitioned
            | Self::PartitionsDiffer
            | Self::NeedsLogOrder
            | Self::PartitionCount { .. }
            | Self::NoStandby
            | Self::NeverLive
            | Self::WasLive
            | Self::StandbyParked
            | Self::StillBuilding
            | Self::AlreadyBuilding
            | Self::OldReaders
            | Self::WouldDrop { .. }
            | Self::AlreadyVerifying
            | Self::NeverStarted
            | Self::Absent
            | Self::Failed(_) => "NOT_POSSIBLE",
        }
    }

    /// What failed, with its causes.
    pub(crate) fn failed(error: &BoxError) -> Self {
        Self::Failed(chain(&**error))
    }
}
