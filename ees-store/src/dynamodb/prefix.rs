//! What may be taken of the order: what comes next, and nothing behind a gap. Pure.
//!
//! The index shows entries late, and in any order. A reader that took what is behind a gap would never get what is
//! missing there.

use std::cmp::Ordering;

use super::holes::Holes;
use crate::Checkpoint;

/// What was taken so far, without a gap.
pub(super) struct Prefix<'a> {
    holes: &'a Holes,
    next: Checkpoint,
}

/// How a place lies to what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lies {
    /// It was taken, or another one at the same place was.
    Before,
    Next,
    /// Something before it is late.
    BehindAGap,
}

impl<'a> Prefix<'a> {
    pub(super) fn new(from: Checkpoint, holes: &'a Holes) -> Self {
        Self { holes, next: holes.skip(from) }
    }

    /// The place that is taken next.
    pub(super) fn next(&self) -> Checkpoint {
        self.next
    }

    pub(super) fn lies(&self, place: Checkpoint) -> Lies {
        match place.cmp(&self.next) {
            Ordering::Less => Lies::Before,
            Ordering::Equal => Lies::Next,
            Ordering::Greater => Lies::BehindAGap,
        }
    }

    /// Takes the next place.
    pub(super) fn advance(&mut self) {
        self.next = self.holes.skip(self.next.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_gap_is_not_next_and_a_hole_is_no_gap() {
        let holes = Holes::new(vec![(0, 1), (3, 2)]);
        let mut prefix = Prefix::new(Checkpoint::START, &holes);
        let lies = |prefix: &Prefix<'_>| [0, 1, 2, 5].map(|place| prefix.lies(Checkpoint::new(place)));
        assert_eq!(lies(&prefix), [Lies::Before, Lies::Next, Lies::BehindAGap, Lies::BehindAGap]);
        prefix.advance();
        assert_eq!(lies(&prefix), [Lies::Before, Lies::Before, Lies::Next, Lies::BehindAGap]);
        prefix.advance();
        assert_eq!(lies(&prefix), [Lies::Before, Lies::Before, Lies::Before, Lies::Next]);
    }
}
