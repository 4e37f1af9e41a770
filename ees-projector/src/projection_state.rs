//! The row that every projection has beside its tables: its position, and whether it may go on.

use ees_store::{ChangesetId, Checkpoint, LogEntry, LogId, SegmentPlace, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::partition::{Partition, Split};
use crate::segment_progress::SegmentProgress;
use crate::standby::Standby;

/// The position of a projection. It moves by compare-and-set only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The checkpoint that the projection reads next. Everything before it is applied, parked or skipped.
    pub next: Checkpoint,
    /// Rises whenever an operator changes the row or another worker takes over. So an old worker fails at the
    /// fence even at the same checkpoint.
    pub epoch: u64,
}

/// Everything that is stored of a projection besides its tables and what is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionState {
    /// The version of the code that made the tables.
    pub version: u32,
    /// The position.
    pub position: Position,
    /// The id of the log. `None` until the first batch is applied.
    pub log_id: Option<LogId>,
    /// The last changeset that was applied. The log must still have it before the projection goes on.
    pub last: Option<ChangesetRef>,
    /// While a rebuild is in progress: the checkpoint at which it is complete.
    pub rebuild_until: Option<Checkpoint>,
    /// The pause, while the projection is paused.
    pub pause: Option<Pause>,
    /// The partitions, if the streams are split. Each has a row of its own.
    pub split: Option<Split>,
    /// The plan of a standby. `None` for the live read model.
    pub standby: Option<Standby>,
    /// The changesets that operators skipped. The worker leaves them out, in a rebuild too.
    pub skips: Vec<Skipped>,
    /// The fingerprint of the rows, if the projection keeps one. That of a projection in partitions is the sum of
    /// those in the partitions' rows.
    pub fingerprint: Option<Fingerprint>,
    /// How far a rebuild by segments has come, while it reads them. In the row of a projection in partitions it says
    /// only that they do, each in its own row.
    pub segment: Option<SegmentProgress>,
}

/// A changeset that an operator skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The checkpoint of the changeset.
    pub checkpoint: Checkpoint,
    /// The time of its commit. A different changeset at the same checkpoint has a different time.
    pub timestamp: Timestamp,
}

/// The most skips that a row keeps, in the order of the skips. When there are more, the oldest is tried again in
/// the next rebuild.
const SKIPS_MAX: usize = 100;

impl ProjectionState {
    /// Returns the state at the start of the log, with empty tables.
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
            skips: Vec::new(),
            fingerprint: None,
            segment: None,
        }
    }

    /// Notes that a changeset is skipped.
    pub(crate) fn skip(&mut self, changeset: &ChangesetRef) {
        let ChangesetRef { checkpoint, timestamp, .. } = *changeset;
        self.skips.retain(|known| known.checkpoint != checkpoint);
        self.add_skips([Skipped { checkpoint, timestamp }]);
    }

    /// Adds the skips of other rows. Those that are new are the latest, in the order of their changesets.
    pub(crate) fn add_skips(&mut self, skips: impl IntoIterator<Item = Skipped>) {
        let mut new: Vec<_> = skips.into_iter().filter(|skipped| !self.skips.contains(skipped)).collect();
        new.sort_unstable_by_key(|skipped| (skipped.timestamp, skipped.checkpoint));
        new.dedup();
        self.skips.extend(new);
        self.skips.drain(..self.skips.len().saturating_sub(SKIPS_MAX));
    }

    /// Says what a rebuild does about earlier skips.
    pub(crate) fn skips_in_words(&self, keeps_skips: bool) -> String {
        if self.skips.is_empty() {
            return String::new();
        }
        let checkpoints: Vec<_> = self.skips.iter().map(|skipped| skipped.checkpoint.to_string()).collect();
        let again = if keeps_skips { "leaves out" } else { "tries" };
        format!("; {again} again what was skipped at checkpoint {}", checkpoints.join(", "))
    }

    /// Returns `true` if the changeset is skipped.
    pub(crate) fn leaves_out(&self, entry: &LogEntry) -> bool {
        let this = Skipped { checkpoint: entry.checkpoint, timestamp: entry.timestamp };
        self.skips.contains(&this)
    }

    /// Returns the skips as JSON, or `None` if there are none.
    ///
    /// # Errors
    /// Never: they can be written as JSON.
    pub fn skips_json(&self) -> serde_json::Result<Option<String>> {
        if self.skips.is_empty() { Ok(None) } else { serde_json::to_string(&self.skips).map(Some) }
    }

    /// Reads what [`skips_json`](Self::skips_json) wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn skips_of_json(text: Option<&str>) -> serde_json::Result<Vec<Skipped>> {
        text.map_or_else(|| Ok(Vec::new()), serde_json::from_str)
    }

    /// Returns the state after a wipe. The epoch rises, so that workers with the old state fail at the fence.
    /// Forgets what was skipped, unless `keeps_skips`. `fingerprint` is that of the empty read model, if it keeps one.
    pub(crate) fn wiped(
        &self,
        version: u32,
        rebuild_until: Checkpoint,
        keeps_skips: bool,
        fingerprint: Option<Fingerprint>,
    ) -> Self {
        let position = Position { next: Checkpoint::START, epoch: self.position.epoch + 1 };
        let rebuild_until = Some(rebuild_until).filter(|until| *until > Checkpoint::START);
        Self {
            position,
            rebuild_until,
            standby: self.standby.clone(),
            split: Split::for_rebuild(self.partitions(), self.partitions()),
            skips: if keeps_skips { self.skips.clone() } else { Vec::new() },
            fingerprint,
            ..Self::new(version)
        }
    }

    /// Lets each worker read a segment of the log, up to the end of the rebuild that the row is at the beginning of. There
    /// they wait for each other, because a stream is in another partition then than it was in a segment. A log that is
    /// empty has none.
    pub(crate) fn by_segments(mut self) -> Self {
        let Some(until) = self.rebuild_until else { return self };
        self.segment = Some(SegmentProgress::begin(self.split.map_or(1, |split| split.count), until));
        self.split = self.split.map(|split| split.joining_at(until));
        self
    }

    /// Returns the state after all changesets up to this one, in the order in which the log is read.
    pub(crate) fn past(&self, changeset: &ChangesetRef, log_id: LogId) -> Self {
        match &self.segment {
            None => self.advanced(changeset.checkpoint.next(), log_id, Some(changeset.clone())),
            Some(segment) => self.in_segment(segment.at(changeset.place(), 1), log_id),
        }
    }

    /// Returns the state with more of the segment applied. The epoch rises: it alone tells a worker that is late, because
    /// the position stays.
    pub(crate) fn in_segment(&self, segment: SegmentProgress, log_id: LogId) -> Self {
        self.moved(|state| {
            state.log_id = Some(log_id);
            state.segment = Some(segment);
        })
    }

    /// Returns the state after the last changeset of the segment. `last` is the one before the end of all segments.
    pub(crate) fn past_segment(&self, until: Checkpoint, log_id: LogId, last: Option<ChangesetRef>) -> Self {
        let state = self.moved(|state| state.segment = None);
        state.advanced(until, log_id, last)
    }

    /// Returns `true` if a partition waits for the others. What comes next is that of the whole projection.
    pub(crate) fn is_at_barrier(&self) -> bool {
        self.barrier().is_some_and(|barrier| self.position.next >= barrier)
    }

    /// Returns `true` if a partition at this position would have passed the barrier. It would never be where the others
    /// wait for it.
    pub(crate) fn is_past_barrier(&self, next: Checkpoint) -> bool {
        self.barrier().is_some_and(|barrier| next > barrier)
    }

    fn barrier(&self) -> Option<Checkpoint> {
        self.split.and_then(|split| split.barrier)
    }

    /// Returns `true` if the worker of this partition, or of the whole, may move the row to this position.
    pub(crate) fn may_be_moved_by(&self, worker: Option<Partition>, next: Checkpoint) -> bool {
        // One that stands still is moved for the comparison or the swap for which it does.
        let joins = self.split.is_some_and(|split| split.next_count.is_some());
        !(self.is_left_to_partitions(worker) || joins && self.is_past_barrier(next))
    }

    /// Returns `true` if the projection is split and this is not its worker of a partition: then only the partitions may
    /// apply.
    pub(crate) fn is_left_to_partitions(&self, worker: Option<Partition>) -> bool {
        self.split.is_some() && worker.is_none()
    }

    /// Returns `true` if the worker of this partition, or of the whole, may retry what is parked. Streams that are parked in
    /// a segment wait for its end: then they belong to a partition again.
    pub(crate) fn may_retry(&self, worker: Option<Partition>) -> bool {
        self.pause.is_none() && self.segment.is_none() && !self.is_left_to_partitions(worker)
    }

    /// Returns `true` if the worker of this partition, or of the whole, may park a stream. While several workers read a
    /// segment each, none may: the worker of the partition that it belongs to, which would retry it, is not the one that
    /// reads it.
    pub(crate) fn may_park(&self, worker: Option<Partition>) -> bool {
        self.segment.is_none() || worker.is_none()
    }

    /// Returns `true` if this is the row of the worker's partition, and not of one with the same number in another split.
    pub(crate) fn is_of_the_split_of(&self, worker: Option<Partition>) -> bool {
        let count = self.split.map(|split| split.count);
        worker.is_none_or(|partition| count == Some(partition.count))
    }

    /// Returns `true` if the worker of this partition may come to changesets of the stream. While segments are read, each
    /// may: nobody knows in which of them a stream is.
    pub(crate) fn may_come_to(&self, partition: Partition, stream_id: &StreamId) -> bool {
        self.segment.is_some() || partition.owns(stream_id)
    }

    /// Returns the number of partitions that there will be when no change is in progress: 1 if the projection is
    /// not split.
    pub(crate) fn partitions(&self) -> u32 {
        self.split.map_or(1, Split::settled)
    }

    /// Returns the state of a new standby. Its epoch was never used under its name before.
    pub(crate) fn standby(
        version: u32,
        rebuild_until: Checkpoint,
        standby: Standby,
        skips: Vec<Skipped>,
        split: Option<Split>,
    ) -> Self {
        let epoch = u64::try_from(Timestamp::now().as_micros()).unwrap_or(0);
        let position = Position { next: Checkpoint::START, epoch };
        let rebuild_until = Some(rebuild_until).filter(|until| *until > Checkpoint::START);
        Self { position, rebuild_until, standby: Some(standby), skips, split, ..Self::new(version) }
    }

    /// Returns the state after all changesets before `next`.
    pub(crate) fn advanced(&self, next: Checkpoint, log_id: LogId, last: Option<ChangesetRef>) -> Self {
        let mut advanced = self.clone();
        advanced.go_to(next);
        advanced.log_id = Some(log_id);
        advanced.last = last.or(advanced.last);
        advanced
    }

    /// Sets the checkpoint. A rebuild that was to come so far has ended.
    pub(crate) fn go_to(&mut self, next: Checkpoint) {
        self.position.next = next;
        self.rebuild_until = self.rebuild_until.filter(|until| *until > next);
    }

    /// Returns the state after an operator's change. The epoch rises, so that nobody with the old state can
    /// write.
    pub(crate) fn moved(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut moved = self.clone();
        moved.position.epoch += 1;
        change(&mut moved);
        moved
    }
}

/// A changeset and its checkpoint, as recorded when it was applied or parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesetRef {
    /// The checkpoint of the changeset.
    pub checkpoint: Checkpoint,
    /// The stream of the changeset.
    pub stream_id: StreamId,
    /// The number of the changeset in its stream.
    pub changeset_id: ChangesetId,
    /// The time of the commit. A different changeset at the same checkpoint has a different time.
    pub timestamp: Timestamp,
}

impl ChangesetRef {
    /// The place after it, in a segment of the log.
    pub(crate) fn place(&self) -> SegmentPlace {
        SegmentPlace::new(self.stream_id.as_str(), self.changeset_id.get())
    }

    /// How the audit names it.
    pub(crate) fn in_words(&self) -> String {
        format!("changeset {} of stream \"{}\"", self.changeset_id, self.stream_id)
    }
}

/// A pause of a projection. It lasts, over restarts, until an operator resumes the projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Pause {
    /// Who paused it.
    pub by: PausedBy,
    /// The operator's reason, or the error.
    pub reason: String,
    /// When it was paused.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
    /// The changeset that failed, if a failure paused it.
    pub failure: Option<FailedChangeset>,
}

/// Who paused a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// An operator.
    Operator,
    /// The worker, because a changeset still failed after the last retry.
    Failure,
}

/// The changeset that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct FailedChangeset {
    /// The checkpoint of the changeset.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The stream of the changeset.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The number of the changeset in its stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// The number of attempts.
    pub attempts: u32,
}

/// A parked stream: one of its changesets failed, and all later ones wait behind it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct ParkedStream {
    /// The stream.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The first parked changeset: the one that failed.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub first: ChangesetId,
    /// The number of parked changesets.
    pub changesets: u64,
    /// The number of attempts to apply the first one.
    pub attempts: u32,
    /// The last error.
    pub error: String,
    /// When the stream was parked. For a reactor: since when this changeset is the first one.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
    /// The time of the next retry. `None` if the stream is given up and waits for an operator.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>, format = DateTime))]
    pub retry_at: Option<Timestamp>,
}

impl ParkedStream {
    /// A stream whose first parked changeset has not been tried yet.
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

    /// Returns `true` if the stream is not retried until an operator says so: a reactor reported a permanent
    /// error, or has failed for too long.
    pub fn is_given_up(&self) -> bool {
        self.retry_at.is_none()
    }

    /// Returns [`retry_at`](Self::retry_at) as a number that a database can sort by: microseconds since 1970,
    /// or `i64::MAX` for a stream that is given up.
    pub fn due_micros(retry_at: Option<Timestamp>) -> i64 {
        retry_at.map_or(i64::MAX, Timestamp::as_micros)
    }

    /// Converts a number from [`due_micros`](Self::due_micros) back.
    pub fn due_at(micros: i64) -> Option<Timestamp> {
        (micros != i64::MAX).then(|| Timestamp::from_micros(micros))
    }
}

/// An entry of the audit: what an operator did, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When.
    #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The action: `pause`, `resume`, `skip`, `rebuild`, `set_checkpoint`, `retry` and others.
    pub action: String,
    /// The operator's reason.
    pub reason: String,
    /// The checkpoint of the projection at that time.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// Details as text, such as the changeset that was skipped or the new checkpoint.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(checkpoint: u64, micros: i64) -> Skipped {
        Skipped { checkpoint: Checkpoint::new(checkpoint), timestamp: Timestamp::from_micros(micros) }
    }

    #[test]
    fn the_oldest_of_too_many_skips_is_dropped() {
        let mut state = ProjectionState::new(1);
        // Skipped late: it failed again after an operator went back.
        let first = [skipped(900, 900), skipped(3, 3)];
        state.skips = first.to_vec();
        let of_partitions = (1_000..1_000 + SKIPS_MAX as u64 - 1).map(|n| skipped(n, n as i64));
        state.add_skips(of_partitions.clone().chain(of_partitions).chain(first));
        assert_eq!(state.skips.len(), SKIPS_MAX);
        assert_eq!(state.skips[0], skipped(3, 3), "the lower one is the later skip");
    }
}
