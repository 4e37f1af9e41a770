//! A small log, by its order and by segments, as the models of projections read it.

use std::sync::LazyLock;

use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Events, Json, LogEntry, LogHead, LogPage, SegmentPlace,
    StreamId, Timestamp,
};
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::log_id;
use crate::partition::Partition;
use crate::projection_state::{ChangesetRef, ProjectionState};
use crate::segment_progress::SegmentProgress;
use crate::subscription::Subscription;
use crate::worker::batch::{Batch, PartOfSegment, reference_to};

/// The stream of each changeset. Of two partitions, the first has `a` and `c` and the second has `b`.
pub(super) const LOG: [&str; 5] = ["a", "b", "a", "b", "c"];
pub(super) const STREAMS: [&str; 3] = ["a", "b", "c"];

static ENTRIES: LazyLock<Vec<LogEntry>> = LazyLock::new(|| (0..LOG.len()).map(entry).collect());

fn entry(at: usize) -> LogEntry {
    let number = LOG[..=at].iter().filter(|stream| **stream == LOG[at]).count() as u64;
    let changeset = Changeset {
        stream_id: LOG[at].parse().unwrap(),
        changeset_id: ChangesetId::new(number),
        first_event_id: EventId::new(number),
        events: Events::parse("[1]").unwrap(),
        metadata: Json::parse("{}").unwrap(),
        timestamp: Timestamp::from_micros(0),
        stream_type: None,
        trace: None,
    };
    LogEntry { checkpoint: Checkpoint::new(at as u64), changeset }
}

pub(super) fn at(changeset: u64) -> &'static LogEntry {
    &ENTRIES[changeset as usize]
}

pub(super) fn stream(changeset: u64) -> &'static StreamId {
    &at(changeset).stream_id
}

pub(super) fn stream_number(changeset: u64) -> usize {
    STREAMS.iter().position(|name| *name == stream(changeset).as_str()).unwrap()
}

pub(super) fn reference(changeset: u64) -> ChangesetRef {
    reference_to(at(changeset))
}

/// The segment of a stream. It has nothing to do with its partition.
pub(super) fn segment_of(stream: &StreamId, count: u32) -> u32 {
    count - 1 - Partition::of(stream, count).index
}

/// What a segment holds before a checkpoint: the streams one after the other, in an order of their own.
pub(super) fn segment(index: u32, count: u32, until: u64) -> Vec<u64> {
    let mut changesets: Vec<u64> =
        (0..until).filter(|changeset| segment_of(stream(*changeset), count) == index).collect();
    changesets.sort_by_key(|changeset| (std::cmp::Reverse(stream_number(*changeset)), *changeset));
    changesets
}

/// What of a segment comes after this place.
fn rest(changesets: &[u64], after: Option<&SegmentPlace>) -> usize {
    let is_before = |changeset: &u64| after == Some(&reference(*changeset).place());
    changesets.iter().position(is_before).map_or(0, |at| at + 1)
}

/// Whether a row that is read up to this place of its segment has passed a changeset of it.
pub(super) fn is_passed_in(progress: &SegmentProgress, changeset: u64) -> bool {
    let all = segment(progress.segment.index, progress.segment.count, progress.until.get());
    all[..rest(&all, progress.after.as_ref())].contains(&changeset)
}

/// What a worker with this row applies next: at most so many changesets are read for it.
pub(super) fn batch(
    head: u64,
    row: &ProjectionState,
    partition: Option<Partition>,
    page: usize,
) -> Option<Batch> {
    match &row.segment {
        Some(from) => Some(part_of_segment(head, from, from.until.get(), page)),
        None => part_of_log(head, row, partition, page),
    }
}

fn head_of(head: u64) -> LogHead {
    LogHead { checkpoint: Checkpoint::new(head), log_id: log_id(), incarnation: Uuid::nil() }
}

/// What comes next of a segment that is read up to this checkpoint.
pub(super) fn part_of_segment(head: u64, from: &SegmentProgress, until: u64, page: usize) -> Batch {
    let all = segment(from.segment.index, from.segment.count, until);
    let rest = &all[rest(&all, from.after.as_ref())..];
    let read = &rest[..page.min(rest.len())];
    // As a scan: a page that is full does not tell that it is the last one.
    let next = (read.len() == page).then(|| reference(read[page - 1]).place());
    let changesets = read.iter().map(|changeset| at(*changeset).clone()).collect();
    let end = if next.is_some() { Checkpoint::START } else { from.until };
    let page = LogPage::new(Checkpoint::START, changesets, end, head_of(head));
    let mut batch = Batch::decode::<IgnoredAny>(Checkpoint::START, page, &Subscription::default());
    batch.last = next.is_none().then(|| reference(from.until.get() - 1));
    let passed = read.len() as u64;
    batch.segment = Some(PartOfSegment { from: from.clone(), next, passed, read_units: None });
    batch
}

fn part_of_log(head: u64, row: &ProjectionState, partition: Option<Partition>, page: usize) -> Option<Batch> {
    let from = row.position.next;
    let barrier = row.split.and_then(|split| split.barrier).map_or(head, Checkpoint::get);
    let end = head.min(barrier).min(from.get() + page as u64);
    if end <= from.get() {
        return None;
    }
    let is_own = |changeset: &u64| partition.is_none_or(|partition| partition.owns(stream(*changeset)));
    let changesets = (from.get()..end).filter(is_own).map(|changeset| at(changeset).clone()).collect();
    let page = LogPage::new(from, changesets, Checkpoint::new(end), head_of(head));
    let mut batch = Batch::decode::<IgnoredAny>(from, page, &Subscription::default());
    batch.last = Some(reference(end - 1));
    Some(batch)
}
