//! How far a rebuild has come that reads the log by segments.

use ees_store::{Checkpoint, Segment, SegmentPlace};
use serde::{Deserialize, Serialize};

/// How far a rebuild has come in its segment of the log. Until it has read all of it, the position is the start of the
/// log: streams are applied one after the other, and so nothing is complete up to any later checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentProgress {
    /// The segment.
    pub segment: Segment,
    /// The head of the log when the rebuild began. From there on, the log is read in its order.
    pub until: Checkpoint,
    /// Everything up to this place of the segment is applied, parked or skipped.
    pub after: Option<SegmentPlace>,
    /// How many changesets that are.
    pub passed: u64,
}

impl SegmentProgress {
    /// Nothing is read yet of a log that is divided into this many segments.
    pub(crate) fn begin(count: u32, until: Checkpoint) -> Self {
        Self { segment: Segment { index: 0, count }, until, after: None, passed: 0 }
    }

    /// Returns the same for another segment of which nothing is read yet.
    pub(crate) fn of(&self, index: u32) -> Self {
        Self { segment: Segment { index, ..self.segment }, ..Self::begin(self.segment.count, self.until) }
    }

    /// Returns the progress after some more changesets.
    pub(crate) fn at(&self, after: SegmentPlace, passed: u64) -> Self {
        Self { after: Some(after), passed: self.passed + passed, ..self.clone() }
    }
}
