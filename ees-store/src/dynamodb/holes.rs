//! Places in the order that no changeset has, in a table that somebody else made. Established once, when it
//! is adopted: what is missing elsewhere is only late.

use crate::Checkpoint;

/// Ranges of places without a changeset, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holes(Vec<(u64, u64)>);

impl Holes {
    /// From ranges (the first place, and how many), in ascending order.
    pub(super) fn new(ranges: Vec<(u64, u64)>) -> Self {
        Self(ranges)
    }

    /// The first place from this one on that a changeset has, or will have.
    pub(super) fn skip(&self, from: Checkpoint) -> Checkpoint {
        let from = from.get();
        let at = self.0.partition_point(|&(first, _)| first <= from);
        let Some(&(first, count)) = at.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return Checkpoint::new(from);
        };
        Checkpoint::new(from.max(first + count))
    }

    /// How many places they are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }
}

/// Which places have been seen, bit by bit.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Vec<u64>);

impl Seen {
    /// Whether it is new. It takes a bit for each place before it, so that a bound must be known.
    pub(super) fn mark(&mut self, place: Checkpoint) -> bool {
        let place = usize::try_from(place.get()).unwrap_or(usize::MAX);
        let word = place / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & (1 << (place % 64)) == 0;
        self.0[word] |= 1 << (place % 64);
        is_new
    }

    /// Marks the holes before `end`.
    pub(super) fn mark_all(&mut self, holes: &Holes, end: Checkpoint) {
        for &(first, count) in holes.ranges() {
            for place in first..first.saturating_add(count).min(end.get()) {
                self.mark(Checkpoint::new(place));
            }
        }
    }

    /// The places before `end` that were not seen.
    pub(super) fn holes(&self, end: Checkpoint) -> Holes {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for place in 0..end.get() {
            if self.has(place) {
                continue;
            }
            match ranges.last_mut() {
                Some((first, count)) if *first + *count == place => *count += 1,
                _ => ranges.push((place, 1)),
            }
        }
        Holes(ranges)
    }

    /// The place after the last one that was seen.
    pub(super) fn end(&self) -> Checkpoint {
        let last = self.0.iter().rposition(|&word| word != 0);
        let end = last.map_or(0, |word| word as u64 * 64 + 64 - u64::from(self.0[word].leading_zeros()));
        Checkpoint::new(end)
    }

    fn has(&self, place: u64) -> bool {
        let word = usize::try_from(place / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// Its form in the table between two runs: numbered pieces of at most this many words.
    pub(super) fn pieces(&self, words: usize) -> impl Iterator<Item = (u64, Vec<u8>)> + '_ {
        (0..)
            .zip(self.0.chunks(words))
            .map(|(at, words)| (at, words.iter().flat_map(|word| word.to_le_bytes()).collect()))
    }

    /// Puts a piece back.
    pub(super) fn restore(&mut self, at: u64, words: usize, piece: &[u8]) {
        let start = usize::try_from(at).unwrap_or(usize::MAX).saturating_mul(words);
        for (offset, word) in piece.chunks_exact(8).enumerate() {
            let Ok(word) = word.try_into().map(u64::from_le_bytes) else { continue };
            if self.0.len() <= start + offset {
                self.0.resize(start + offset + 1, 0);
            }
            self.0[start + offset] |= word;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(places: &[u64]) -> Seen {
        let mut seen = Seen::default();
        for &place in places {
            seen.mark(Checkpoint::new(place));
        }
        seen
    }

    #[test]
    fn what_was_not_seen_is_a_hole() {
        let seen = seen(&[0, 1, 4, 5, 64, 200]);
        assert_eq!(seen.end(), Checkpoint::new(201));
        let holes = seen.holes(seen.end());
        assert_eq!(holes.ranges(), [(2, 2), (6, 58), (65, 135)]);
        assert_eq!(holes.count(), 195);
        for (from, to) in
            [(0, 0), (1, 1), (2, 4), (3, 4), (4, 4), (6, 64), (199, 200), (200, 200), (500, 500)]
        {
            assert_eq!(holes.skip(Checkpoint::new(from)), Checkpoint::new(to), "{from}");
        }
        assert_eq!(Seen::default().end(), Checkpoint::START);
        assert_eq!(seen_nothing().ranges(), [(0, 3)]);
    }

    fn seen_nothing() -> Holes {
        Seen::default().holes(Checkpoint::new(3))
    }

    #[test]
    fn what_was_seen_is_remembered_in_pieces() {
        let seen = seen(&[3, 63, 64, 130, 400, 777]);
        let mut again = Seen::default();
        for (at, piece) in seen.pieces(2) {
            again.restore(at, 2, &piece);
        }
        assert_eq!(again.holes(Checkpoint::new(800)), seen.holes(Checkpoint::new(800)));
    }
}
