//! A write that is under way: until its answer is known, there may be a changeset that nobody indexes.
//!
//! A committer may go away (a client hangs up) or time out after the write was sent; DynamoDB carries it out
//! all the same.

use super::plan::Candidate;
use super::queue::Queue;

/// Leaves a changeset to be indexed unless it was not stored, also when the writing is given up.
pub(super) struct UnderWay<'a> {
    queue: Option<&'a Queue>,
    changeset: Option<Candidate>,
}

impl<'a> UnderWay<'a> {
    /// From before the write is sent.
    pub(super) fn new(queue: Option<&'a Queue>, changeset: Candidate) -> Self {
        Self { queue, changeset: Some(changeset) }
    }

    /// It is there.
    pub(super) fn stored(mut self) {
        if let (Some(queue), Some(changeset)) = (self.queue, self.changeset.take()) {
            queue.push(changeset);
        }
    }

    /// Another one is in its place, so that it can't be stored any more.
    pub(super) fn refused(mut self) {
        self.changeset = None;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let (Some(queue), Some(changeset)) = (self.queue, self.changeset.take()) {
            queue.push_in_doubt(changeset);
        }
    }
}
