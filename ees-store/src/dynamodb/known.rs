//! What an indexer remembers of changesets that have their place. A cache: what is not in it is read.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::plan::{Candidate, predecessors};
use crate::{ChangesetId, StreamId};

/// A changeset of each stream that has its place, and so have all before it. Never outdated: places are for ever.
pub(super) struct Known(LruCache<StreamId, ChangesetId>);

impl Known {
    /// Remembers so many streams.
    pub(super) fn new(streams_max: NonZeroUsize) -> Self {
        Self(LruCache::new(streams_max))
    }

    /// This one has its place.
    pub(super) fn remember(&mut self, stream: &StreamId, id: ChangesetId) {
        let known = self.0.get_or_insert_mut(stream.clone(), || id);
        *known = id.max(*known);
    }

    /// Leaves out what is known to have its place: a repeated commit, or one that was in doubt.
    pub(super) fn leave_out(&self, waiting: &mut Vec<Candidate>) {
        waiting.retain(|it| !self.has(&it.stream_id, it.changeset_id));
    }

    /// What must have its place before a batch, is not in it, and has to be looked at.
    pub(super) fn unknown_before(&self, batch: &[Candidate]) -> Vec<(StreamId, ChangesetId)> {
        predecessors(batch).into_iter().filter(|(stream, id)| !self.has(stream, *id)).collect()
    }

    fn has(&self, stream: &StreamId, id: ChangesetId) -> bool {
        self.0.peek(stream).is_some_and(|known| *known >= id)
    }
}
