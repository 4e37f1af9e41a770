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
    BuildBeside(SideBySide),
    /// Exchanges the read model beside the live one with it.
    Swap {
        /// To the one that was live before; to the one that was built otherwise.
        back: bool,
        force: bool,
    },
    /// Deals the streams out to so many workers.
    SetPartitions(u32),
    /// Throws the read model beside the live one away.
    Discard,
    /// Tries parked streams again: one, or all.
    Retry(Option<StreamId>),
    /// As `Skip`, of a reactor: what the changeset calls for is not done.
    DiscardEffects(Checkpoint),
}

impl Action {
    /// Whether it is about one place in the log or one position: nothing that a projection in partitions has as a whole.
    pub(crate) fn concerns_one_place(&self) -> bool {
        matches!(
            self,
            Self::Skip(_)
                | Self::DiscardEffects(_)
                | Self::SetCheckpoint { .. }
                | Self::Retry(_)
                | Self::BuildBeside(_)
        )
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Skip(_) => "skip",
            Self::SetCheckpoint { .. } => "set_checkpoint",
            Self::Rebuild => "rebuild",
            Self::BuildBeside(_) => "rebuild_side_by_side",
            Self::Swap { back: false, .. } => "swap",
            Self::Swap { back: true, .. } => "rollback",
            Self::SetPartitions(_) => "set_partitions",
            Self::Discard => "discard",
            Self::Retry(_) => "retry",
            Self::DiscardEffects(_) => "discard_effects",
        }
    }
}

/// Why an operator's wish was not carried out. Nothing was changed.
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
    /// It can't be done. The message says why.
    #[error("{0}")]
    Invalid(String),
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
    /// The changeset waited for did not come into the log in time: there is no such one, or it has no place there yet.
    #[error("stream \"{stream_id}\" has no changeset {changeset_id} in the log, and did not get it in time")]
    NotInLog {
        /// The stream.
        stream_id: StreamId,
        /// The changeset asked for.
        changeset_id: ChangesetId,
    },
}
