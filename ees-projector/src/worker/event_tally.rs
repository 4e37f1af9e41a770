//! Counts what a worker makes of the events that it reads, and notices when none of them is the projection's.

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
    /// What passed since this worker read the start of the log, as long as nothing was recognized. A worker that
    /// starts further on does not know what was recognized before.
    unrecognized: Option<Unrecognized>,
}

#[derive(Clone, Debug)]
struct Unrecognized {
    since: &'static str,
    passed_over: u64,
    left_out: u64,
    /// Some types of events that were passed over.
    types: BTreeSet<String>,
    has_warned: bool,
}

impl EventTally {
    pub(crate) fn of_unreadable(unreadable: u64) -> Self {
        Self { counts: EventCounts { unreadable, ..EventCounts::default() }, ..Self::default() }
    }

    /// Notes that the next batch is the first one of the log.
    pub(crate) fn begin(&mut self) {
        let has_read = self.counts != EventCounts::default() || self.left_out > 0;
        self.unrecognized = Some(Unrecognized {
            since: if has_read { "since the rebuild began" } else { "since this process started" },
            passed_over: 0,
            left_out: 0,
            types: BTreeSet::new(),
            has_warned: false,
        });
    }

    /// Adds the tally of a batch.
    pub(crate) fn add(&mut self, batch: &Self) {
        self.counts.recognized += batch.counts.recognized;
        self.counts.passed_over += batch.counts.passed_over;
        self.counts.unreadable += batch.counts.unreadable;
        self.left_out += batch.left_out;
        if batch.has_recognized() {
            self.unrecognized = None;
        }
        if let Some(unrecognized) = &mut self.unrecognized {
            unrecognized.passed_over += batch.counts.passed_over;
            unrecognized.left_out += batch.left_out;
        }
    }

    /// Returns `true` if the types of events that are passed over may be named in a warning.
    pub(crate) fn wants_types(&self) -> bool {
        self.unrecognized.as_ref().is_some_and(|found| !found.has_warned && found.types.len() < TYPES_MAX)
    }

    /// Keeps the type of an event that was passed over.
    pub(crate) fn note_type(&mut self, event: &str) {
        let Some(Unrecognized { types, .. }) = &mut self.unrecognized else { return };
        let name = ees_store::json::event_type(event);
        let name = name.as_deref().unwrap_or("(no type)");
        if types.len() < TYPES_MAX && !types.contains(name) {
            types.insert(name.to_owned());
        }
    }

    /// Returns `true` once: when many events have passed, and none was recognized.
    pub(crate) fn should_warn(&mut self) -> bool {
        let Some(found) = &mut self.unrecognized else { return false };
        let warns = !found.has_warned && found.passed_over + found.left_out >= UNRECOGNIZED_MAX;
        found.has_warned |= warns;
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
        let found = self.unrecognized.as_ref();
        let seen = list(&mut found.iter().flat_map(|found| &found.types).map(String::as_str));
        let known = known.map_or_else(|| "any".to_owned(), |known| list(&mut known.iter().copied()));
        let (passed_over, left_out) = found.map_or((0, 0), |found| (found.passed_over, found.left_out));
        let since = found.map_or("", |found| found.since);
        format!(
            "{since}, {passed_over} events were passed over and {left_out} changesets left out by the filter; types \
             seen: {seen}; types known: {known}. Check `tag`, `rename_all` and the filter"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(events: u64) -> EventTally {
        EventTally {
            counts: EventCounts { passed_over: events, ..EventCounts::default() },
            ..EventTally::default()
        }
    }

    fn begun() -> EventTally {
        let mut tally = EventTally::default();
        tally.begin();
        tally
    }

    #[test]
    fn many_events_without_a_recognized_one_are_warned_of_once() {
        let mut tally = begun();
        tally.add(&foreign(UNRECOGNIZED_MAX - 1));
        for n in 0..20 {
            tally.note_type(&format!("{{\"type\":\"t{n}\"}}"));
        }
        assert!(!tally.wants_types(), "enough");
        assert!(!tally.should_warn());
        tally.add(&EventTally { left_out: 1, ..EventTally::default() });
        assert!(tally.should_warn());
        let text = tally.explain(Some(&["opened", "closed"]));
        assert!(
            text.contains("types seen: t0, t1") && text.contains("types known: opened, closed"),
            "{text}"
        );
        assert!(text.starts_with("since this process started, 999 events"), "{text}");
        assert!(text.len() < 300, "{text}");
        tally.add(&foreign(UNRECOGNIZED_MAX));
        assert!(!tally.should_warn() && !tally.wants_types(), "once");
    }

    #[test]
    fn one_recognized_event_is_enough() {
        let mut tally = begun();
        tally.add(&EventTally::of_unreadable(1));
        tally.add(&foreign(UNRECOGNIZED_MAX));
        assert!(!tally.should_warn() && !tally.wants_types());
    }

    #[test]
    fn a_worker_that_did_not_begin_at_the_start_of_the_log_does_not_warn() {
        let mut tally = EventTally::default();
        tally.add(&foreign(UNRECOGNIZED_MAX));
        assert!(!tally.should_warn() && !tally.wants_types());
        // A rebuild: what passed before it does not count.
        tally.begin();
        tally.add(&foreign(1));
        assert!(!tally.should_warn() && tally.wants_types());
        tally.add(&foreign(UNRECOGNIZED_MAX));
        assert!(tally.should_warn());
        assert!(tally.explain(None).starts_with("since the rebuild began, 1001 events"));
    }
}
