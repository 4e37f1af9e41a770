//! Which changesets are indexed together, and in which order. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{ChangesetId, StreamId};

/// Changesets in one batch, at most: a transaction has a hundred actions, and one of them moves the counter.
pub(super) const BATCH_MAX: usize = 99;
/// Bytes of the items in one batch, at most: a transaction may have 4 MB.
pub(super) const BATCH_BYTES_MAX: usize = 3_500_000;

/// A changeset that may not have a checkpoint yet.
///
/// It is made from a record of the table's stream, or after a commit: what precedes it in its stream is stored. One
/// that already has a checkpoint does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its stream.
    pub stream_id: StreamId,
    /// Its number in the stream.
    pub changeset_id: ChangesetId,
    /// The approximate size of the whole item, in bytes; the size of events and metadata is close enough.
    pub size_bytes: usize,
}

/// Each once, and those of a stream in its order. Where those of a stream stood they still stand: so the
/// global order is about that in which they came.
pub(super) fn arrange(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut streams: HashMap<StreamId, BTreeMap<ChangesetId, usize>> = HashMap::new();
    let mut order = Vec::with_capacity(candidates.len());
    for Candidate { stream_id, changeset_id, size_bytes } in candidates {
        let known = streams.entry(stream_id.clone()).or_default();
        let size = known.entry(changeset_id).or_insert_with(|| {
            order.push(stream_id);
            size_bytes
        });
        *size = size_bytes.max(*size);
    }
    let mut streams: HashMap<StreamId, VecDeque<(ChangesetId, usize)>> =
        streams.into_iter().map(|(stream, known)| (stream, known.into_iter().collect())).collect();
    let next = |stream_id: StreamId| {
        let (changeset_id, size_bytes) = streams.get_mut(&stream_id)?.pop_front()?;
        Some(Candidate { stream_id, changeset_id, size_bytes })
    };
    order.into_iter().filter_map(next).collect()
}

/// How many of these go together: at least one, if there is one.
pub(super) fn batch_length(candidates: &[Candidate], count_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |candidate: &&Candidate| {
        bytes += candidate.size_bytes;
        bytes <= BATCH_BYTES_MAX
    };
    let fitting = candidates.iter().take(count_max.min(BATCH_MAX)).take_while(fits).count();
    fitting.max(1).min(candidates.len())
}

/// The changesets that must have their place before these, and are not among them.
pub(super) fn predecessors(batch: &[Candidate]) -> Vec<(StreamId, ChangesetId)> {
    let mut ends: HashMap<&StreamId, ChangesetId> = HashMap::new();
    let mut missing = Vec::new();
    for Candidate { stream_id, changeset_id, .. } in batch {
        let before = ends.insert(stream_id, *changeset_id).unwrap_or(ChangesetId::NONE);
        if before.next() < *changeset_id {
            missing.push((stream_id.clone(), ChangesetId::new(changeset_id.get() - 1)));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(texts: &[&str]) -> Vec<Candidate> {
        texts.iter().map(|text| candidate(text, 10)).collect()
    }

    fn candidate(text: &str, size_bytes: usize) -> Candidate {
        let (stream, id) = text.split_at(1);
        Candidate { stream_id: stream.parse().unwrap(), changeset_id: id.parse().unwrap(), size_bytes }
    }

    #[test]
    fn each_comes_once_and_each_stream_in_its_order() {
        let arranged = arrange(candidates(&["a3", "b1", "a1", "a3", "b1", "c7", "a2"]));
        assert_eq!(arranged, candidates(&["a1", "b1", "a2", "c7", "a3"]));
        assert_eq!(arrange(vec![]), vec![]);
    }

    #[test]
    fn a_batch_fits_a_transaction() {
        let many: Vec<_> = (1..=300).map(|id| candidate(&format!("a{id}"), 10)).collect();
        assert_eq!(batch_length(&many, usize::MAX), 99);
        assert_eq!(batch_length(&many, 7), 7);
        assert_eq!(batch_length(&many[..5], usize::MAX), 5);
        let large: Vec<_> = (1..=300).map(|id| candidate(&format!("a{id}"), 400_000)).collect();
        assert_eq!(batch_length(&large, usize::MAX), 8);
        assert_eq!(batch_length(&[candidate("a1", 9_000_000)], usize::MAX), 1);
        assert_eq!(batch_length(&[], usize::MAX), 0);
    }

    #[test]
    fn what_goes_before_a_batch_is_what_it_does_not_hold() {
        let missing = predecessors(&candidates(&["a1", "a2", "b3", "b4", "b7", "c1", "d2"]));
        let missing: Vec<_> = missing.into_iter().map(|(stream, id)| format!("{stream}{id}")).collect();
        assert_eq!(missing, ["b2", "b6", "d1"]);
    }
}
