//! The row that every projection has beside its tables: how far it got, and whether it may go on.

use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::partition::Split;
use crate::standby::Standby;

/// How far a projection got. Moves by compare-and-set only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The checkpoint it reads next: everything before it is applied or parked.
    pub next: Checkpoint,
    /// Counts up whenever an operator moves the position, so that a worker that slept through it finds out even when
    /// the checkpoint is the same again.
    pub epoch: u64,
}

/// All that is stored of a projection besides its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionState {
    /// The version its tables were made by.
    pub version: u32,
    /// How far it got.
    pub position: Position,
    /// The log it was fed from, once it was fed.
    pub log_id: Option<LogId>,
    /// The changeset it applied last: must still be there before it goes on.
    pub last: Option<ChangesetRef>,
    /// A rebuild is under way until this checkpoint is reached.
    pub rebuild_until: Option<Checkpoint>,
    /// Why it stands still, if it does.
    pub pause: Option<Pause>,
    /// That its streams are split over partitions, each with a row of its own.
    pub split: Option<Split>,
    /// What it is for, when it is not the read model that is read.
    pub standby: Option<Standby>,
}

impl ProjectionState {
    /// At the beginning, with empty tables.
    pub(crate) fn new(version: u32) -> Self {
        let position = Position { next: Checkpoint::START, epoch: 0 };
        Self {
            version,
            position,
            log_id: None,
            last: None,
            rebuild_until: None,
            pause: None,
            split: None,
            standby: None,
        }
    }

    /// At the beginning again. The epoch tells workers of the old state.
    pub(crate) fn wiped(&self, version: u32, rebuild_until: Checkpoint) -> Self {
        let position = Position { next: Checkpoint::START, epoch: self.position.epoch + 1 };
        let rebuild_until = Some(rebuild_until).filter(|until| *until > Checkpoint::START);
        Self {
            position,
            rebuild_until,
            standby: self.standby.clone(),
            split: self.split.map(|split| Split::into(split.count)),
            ..Self::new(version)
        }
    }

    /// At the beginning, as a standby. Its epochs are none that were ever used under its name.
    pub(crate) fn standby(version: u32, rebuild_until: Checkpoint, standby: Standby) -> Self {
        let epoch = u64::try_from(Timestamp::now().as_micros()).unwrap_or(0);
        let position = Position { next: Checkpoint::START, epoch };
        let rebuild_until = Some(rebuild_until).filter(|until| *until > Checkpoint::START);
        Self { position, rebuild_until, standby: Some(standby), ..Self::new(version) }
    }

    /// After the changesets before `next`.
    pub(crate) fn advanced(&self, next: Checkpoint, log_id: LogId, last: Option<ChangesetRef>) -> Self {
        Self {
            position: Position { next, ..self.position },
            log_id: Some(log_id),
            last: last.or_else(|| self.last.clone()),
            rebuild_until: self.rebuild_until.filter(|until| *until > next),
            ..self.clone()
        }
    }

    /// As an operator wants it: nobody who read the old row can write any more.
    pub(crate) fn moved(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut moved = self.clone();
        moved.position.epoch += 1;
        change(&mut moved);
        moved
    }
}

/// A changeset that was applied, and its place then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangesetRef {
    /// Its place in the global order.
    pub checkpoint: Checkpoint,
    /// Its stream.
    pub stream_id: StreamId,
    /// Its number in the stream.
    pub changeset_id: ChangesetId,
    /// When it was committed: another changeset at the same place has another time.
    pub timestamp: Timestamp,
}

/// Why a projection stands still. It stays so, over restarts, until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Pause {
    /// Who paused it.
    pub by: PausedBy,
    /// The operator's reason, or the error.
    pub reason: String,
    /// Since when.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub since: Timestamp,
    /// The changeset that failed, when it was a failure.
    pub failure: Option<FailedChangeset>,
}

/// Who paused a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Somebody, on purpose.
    Operator,
    /// A changeset failed again and again.
    Failure,
}

/// Which changeset failed, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct FailedChangeset {
    /// Its place in the global order.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Its stream.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// Its number in the stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// How often it was tried.
    pub attempts: u32,
}

/// A stream whose changesets wait, in order, because one of them failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct ParkedStream {
    /// The stream.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The first changeset that waits: the one that failed.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub first: ChangesetId,
    /// How many wait.
    pub changesets: u64,
    /// How often the first was tried.
    pub attempts: u32,
    /// What went wrong last.
    pub error: String,
    /// Since when; of a reactor, since when the first was the first.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub since: Timestamp,
    /// When it is retried; `None` when it was given up, and waits for an operator.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>))]
    pub retry_at: Option<Timestamp>,
}

impl ParkedStream {
    /// A stream whose next changeset is `first`, which was not tried yet.
    pub(crate) fn fresh(stream_id: StreamId, first: ChangesetId) -> Self {
        let now = Timestamp::now();
        Self {
            stream_id,
            first,
            changesets: 0,
            attempts: 0,
            error: String::new(),
            since: now,
            retry_at: Some(now),
        }
    }

    /// Whether it is not retried before an operator says so: a reactor's effect that was refused for good, or failed for
    /// too long.
    pub fn is_given_up(&self) -> bool {
        self.retry_at.is_none()
    }

    /// [`retry_at`](Self::retry_at) as a number that databases can sort by: microseconds since 1970, and `i64::MAX` for a
    /// stream that was given up.
    pub fn due_micros(retry_at: Option<Timestamp>) -> i64 {
        retry_at.map_or(i64::MAX, Timestamp::as_micros)
    }

    /// [`due_micros`](Self::due_micros), read back.
    pub fn due_at(micros: i64) -> Option<Timestamp> {
        (micros != i64::MAX).then(|| Timestamp::from_micros(micros))
    }
}

/// Something an operator did, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub at: Timestamp,
    /// What: `pause`, `resume`, `skip`, `rebuild`, `set_checkpoint`, `retry`.
    pub action: String,
    /// The reason given.
    pub reason: String,
    /// Where the projection was.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// What was concerned, in words: the changeset that was skipped, the checkpoint moved to.
    pub detail: String,
}
