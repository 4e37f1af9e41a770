//! Counts what a worker makes of the events that it reads, and notices when none of them is the projection's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::status::EventCounts;

/// After this number of events and left-out changesets without a single recognized event, something is wrong.
const UNRECOGNIZED_MAX: u64 = 1_000;
/// The most types that are kept to be named.
const TYPES_MAX: usize = 10;

/// What was made of the events of some batches.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventTally {
    pub(crate) counts: EventCounts,
    /// Changesets that the filter left out. The log does not say what is in them.
    pub(crate) left_out: u64,
    /// Some types of events that were passed over.
    types: BTreeSet<String>,
    has_warned: bool,
}

impl EventTally {
    pub(crate) fn of_unreadable(unreadable: u64) -> Self {
        Self { counts: EventCounts { unreadable, ..EventCounts::default() }, ..Self::default() }
    }

    pub(crate) fn pass_over(&mut self, event: &str) {
        self.counts.passed_over += 1;
        if self.types.len() < TYPES_MAX {
            let name = ees_store::json::event_type(event);
            self.types.insert(name.map_or_else(|| "(no type)".to_owned(), Cow::into_owned));
        }
    }

    /// Adds the tally of a batch.
    pub(crate) fn add(&mut self, batch: Self) {
        self.counts.recognized += batch.counts.recognized;
        self.counts.passed_over += batch.counts.passed_over;
        self.counts.unreadable += batch.counts.unreadable;
        self.left_out += batch.left_out;
        if self.counts.recognized == 0 {
            self.types.extend(batch.types);
            while self.types.len() > TYPES_MAX {
                self.types.pop_last();
            }
        }
    }

    /// Returns `true` once: when many events have passed, and none was recognized.
    pub(crate) fn should_warn(&mut self) -> bool {
        let passed = self.counts.passed_over + self.left_out;
        let warns = !self.has_warned && !self.has_recognized() && passed >= UNRECOGNIZED_MAX;
        self.has_warned |= warns;
        warns
    }

    /// Returns `true` if an event was the projection's, even if it could not be read.
    pub(crate) fn has_recognized(&self) -> bool {
        self.counts.recognized + self.counts.unreadable > 0
    }

    /// Says which types were seen and which are known.
    pub(crate) fn explain(&self, known: Option<&[&str]>) -> String {
        let list = |names: &mut dyn Iterator<Item = &str>| match names.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "none".to_owned(),
            some => some,
        };
        let seen = list(&mut self.types.iter().map(String::as_str));
        let known = known.map_or_else(|| "any".to_owned(), |known| list(&mut known.iter().copied()));
        let (passed_over, left_out) = (self.counts.passed_over, self.left_out);
        format!(
            "{passed_over} events were passed over and {left_out} changesets left out by the filter; types seen: \
             {seen}; types known: {known}. Check `tag`, `rename_all` and the filter"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(events: u64) -> EventTally {
        let mut batch = EventTally::default();
        for n in 0..events {
            batch.pass_over(&format!("{{\"type\":\"t{n}\"}}"));
        }
        batch
    }

    #[test]
    fn many_events_without_a_recognized_one_are_warned_of_once() {
        let mut tally = EventTally::default();
        tally.add(foreign(UNRECOGNIZED_MAX - 1));
        assert!(!tally.should_warn());
        tally.add(EventTally { left_out: 1, ..EventTally::default() });
        assert!(tally.should_warn());
        let text = tally.explain(Some(&["opened", "closed"]));
        assert!(
            text.contains("types seen: t0, t1") && text.contains("types known: opened, closed"),
            "{text}"
        );
        assert!(text.len() < 300, "{text}");
        tally.add(foreign(UNRECOGNIZED_MAX));
        assert!(!tally.should_warn(), "once");
    }

    #[test]
    fn one_recognized_event_is_enough() {
        let mut tally = foreign(UNRECOGNIZED_MAX);
        tally.add(EventTally::of_unreadable(1));
        assert!(!tally.should_warn());
    }
}
