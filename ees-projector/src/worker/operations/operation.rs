//! What operators may ask of a projection, and why it may be refused.

use ees_store::{ChangesetId, Checkpoint, StreamId};
use tokio::sync::oneshot;

use crate::standby::SideBySide;

/// A request to a worker, and where its answer goes.
pub(crate) struct Operation {
    pub(crate) action: Action,
    pub(crate) reason: String,
    pub(crate) reply: oneshot::Sender<Result<(), OperateError>>,
}

/// What can be done with a projection.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Pause,
    Resume,
    /// Leaves out one changeset: the one it stands before, or the first of a parked stream.
    Skip(Checkpoint),
    SetCheckpoint {
        believed: Checkpoint,
        wanted: Checkpoint,
    },
    Rebuild,
    BuildStandby(SideBySide),
    /// Exchanges the standby with the live read model.
    Swap {
        /// To the one that was live before; to the one that was built otherwise.
        back: bool,
        force: bool,
    },
    /// Deals the streams out to so many workers.
    SetPartitions(u32),
    /// Throws the standby away.
    Discard,
    /// Tries parked streams again: one, or all.
    Retry(Option<StreamId>),
    /// As `Skip`, of a reactor: what the changeset calls for is not done.
    DiscardEffects(Checkpoint),
}

impl Action {
    /// Whether it is about one changeset or one position: nothing that a projection in partitions has as a whole.
    pub(crate) fn concerns_one_position(&self) -> bool {
        matches!(
            self,
            Self::Skip(_)
                | Self::DiscardEffects(_)
                | Self::SetCheckpoint { .. }
                | Self::Retry(_)
                | Self::BuildStandby(_)
        )
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Skip(_) => "skip",
            Self::SetCheckpoint { .. } => "set_checkpoint",
            Self::Rebuild => "rebuild",
            Self::BuildStandby(_) => "rebuild_side_by_side",
            Self::Swap { back: false, .. } => "swap",
            Self::Swap { back: true, .. } => "rollback",
            Self::SetPartitions(_) => "set_partitions",
            Self::Discard => "discard",
            Self::Retry(_) => "retry",
            Self::DiscardEffects(_) => "discard_effects",
        }
    }
}

/// Why an operator's request was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperateError {
    /// There is no projection of this name here.
    #[error(
        "there is no projection \"{name}\" here; there are: {known}. One in another process is steered there"
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// It stands somewhere else by now. Look again, then decide again.
    #[error("the projection is at checkpoint {checkpoint} by now")]
    Moved {
        /// Where it stands.
        checkpoint: Checkpoint,
    },
    /// The checkpoint lies behind the end of the log.
    #[error("the log ends before checkpoint {head}")]
    PastHead {
        /// Where the log ends.
        head: Checkpoint,
    },
    /// Only the changeset that the projection stands before, or the first one of a parked stream, can be skipped.
    #[error(
        "checkpoint {checkpoint} is neither the changeset the projection stands before nor the first one of a \
         parked stream: only those can be skipped"
    )]
    NotSkippable {
        /// The checkpoint asked for.
        checkpoint: Checkpoint,
    },
    /// The log has nothing at this checkpoint.
    #[error("there is no changeset at checkpoint {checkpoint}")]
    NoChangesetAt {
        /// The checkpoint asked for.
        checkpoint: Checkpoint,
    },
    /// The log has no such changeset of this stream.
    #[error("stream \"{stream_id}\" has no changeset {changeset_id} in the log")]
    NoChangeset {
        /// The stream.
        stream_id: StreamId,
        /// The changeset asked for.
        changeset_id: ChangesetId,
    },
    /// No stream is parked, or not this one.
    #[error("no such stream is parked")]
    NotParked,
    /// A reactor has no read model to rebuild, verify or estimate.
    #[error(
        "\"{name}\" is a reactor and has no read model: a rebuild would do again all that it ever did. Moving its \
         checkpoint back repeats what lies after it, apart from what its ledger has as done"
    )]
    IsReactor {
        /// Its name.
        name: String,
    },
    /// The read-model database can't do that. The message says what it can do instead.
    #[error("{0}")]
    NotSupported(&'static str),
    /// The projection is split into partitions, and this needs it whole.
    #[error("its streams are dealt out to partitions: set their number to 1 first, which needs no rebuild")]
    Partitioned,
    /// The streams of a projection with [`Order::Log`](crate::Order::Log) can't be dealt out to partitions.
    #[error("it needs the global order (Order::Log): its streams can't be dealt out")]
    NeedsLogOrder,
    /// There are 1 to 256 partitions.
    #[error("there can be 1 to {max} partitions")]
    PartitionCount {
        /// The most there can be.
        max: u32,
    },
    /// There is no standby.
    #[error("there is nothing beside this read model")]
    NoStandby,
    /// The standby was never live: `swap` swaps it, not `rollback`.
    #[error("the one beside it was never live: `swap` lets it take the live one's place")]
    NeverLive,
    /// The standby was live before: `rollback` brings it back, not `swap`.
    #[error("the one beside it was live before: `rollback` brings it back")]
    WasLive,
    /// Streams are parked in the standby.
    #[error("streams are parked in it: retry or skip them, or force it")]
    StandbyParked,
    /// The standby is not whole yet.
    #[error("it is still being built")]
    StillBuilding,
    /// A standby is being built already.
    #[error("one is being built beside it already: let it finish, swap it, or discard it")]
    AlreadyBuilding,
    /// Transactions of readers are open that would see a half-built read model after a swap.
    #[error(
        "transactions are open that began before it was built, and would see it half built: end them and try \
         again, or force it"
    )]
    OldReaders,
    /// Another process verifies it at the moment.
    #[error("it is verified by somebody else at the moment; try again")]
    AlreadyVerifying,
    /// The projection, or the read model beside it, was never started here.
    #[error("{0}")]
    NeverStarted(&'static str),
    /// There is no such read model for this program's version.
    #[error(
        "there is no such read model of this program's version: the live one is another version's, or none is \
         built beside it"
    )]
    Absent,
    /// The projection, its log or its database refuses. The message says why.
    #[error("{0}")]
    Failed(String),
    /// Other workers kept moving the projection in the meantime. Try again.
    #[error("other workers keep moving the projection; try again")]
    Overtaken,
    /// It can't be done now.
    #[error("{0}")]
    Unavailable(String),
    /// It did not get there in time.
    #[error("the projection is at checkpoint {checkpoint}, and did not reach {wanted} in time")]
    TimedOut {
        /// Where it stands.
        checkpoint: Checkpoint,
        /// Where it should have got to.
        wanted: Checkpoint,
    },
    /// The changeset waited for did not come into the log in time: there is no such one, or it has no checkpoint yet.
    #[error("stream \"{stream_id}\" has no changeset {changeset_id} in the log, and did not get it in time")]
    NotInLog {
        /// The stream.
        stream_id: StreamId,
        /// The changeset asked for.
        changeset_id: ChangesetId,
    },
}
