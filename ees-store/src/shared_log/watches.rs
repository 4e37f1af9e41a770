//! Who waits for what. Only those are woken for whom something arrives.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::{Checkpoint, Filter, LogEntry, StreamId, StreamType, json};

/// The names of a filter by which those who wait are found.
const NAMES_MAX: usize = 100;

/// What somebody waits for.
#[derive(Clone, Debug)]
pub(crate) enum Interest {
    /// Whatever arrives.
    Everything,
    /// What is appended to a stream.
    Stream(StreamId),
    /// What a filter accepts, which does not accept everything.
    Filtered(Filter),
}

impl Interest {
    /// What a filter accepts; with many names everything, so that what is kept for one who waits is bounded.
    pub(crate) fn of_filter(filter: &Filter) -> Self {
        let names = filter.stream_types.len() + filter.event_types.len();
        if (1..=NAMES_MAX).contains(&names) { Self::Filtered(filter.clone()) } else { Self::Everything }
    }
}

/// Those who wait, by what they wait for: a changeset costs the same, however many there are whom it does not
/// concern.
#[derive(Default)]
pub(super) struct Watches {
    last: u64,
    kept: HashMap<u64, Kept>,
    of_everything: HashSet<u64>,
    by_stream: HashMap<StreamId, HashSet<u64>>,
    by_stream_type: HashMap<StreamType, HashSet<u64>>,
    by_event_type: HashMap<String, HashSet<u64>>,
}

struct Kept {
    interest: Interest,
    /// Where to look: the first that has arrived and was not taken. Between here and there is nothing else.
    found: Option<Checkpoint>,
    wake: Arc<Notify>,
}

impl Watches {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds one who has to look at `found`, or has seen everything.
    pub(super) fn add(&mut self, interest: Interest, found: Option<Checkpoint>) -> (u64, Arc<Notify>) {
        self.last += 1;
        let (number, wake) = (self.last, Arc::new(Notify::new()));
        match &interest {
            Interest::Everything => {
                self.of_everything.insert(number);
            }
            Interest::Stream(stream_id) => {
                self.by_stream.entry(stream_id.clone()).or_default().insert(number);
            }
            Interest::Filtered(Filter { stream_types, event_types }) if event_types.is_empty() => {
                for name in stream_types {
                    self.by_stream_type.entry(name.clone()).or_default().insert(number);
                }
            }
            Interest::Filtered(Filter { event_types, .. }) => {
                for name in event_types {
                    self.by_event_type.entry(name.clone()).or_default().insert(number);
                }
            }
        }
        self.kept.insert(number, Kept { interest, found, wake: wake.clone() });
        (number, wake)
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(Kept { interest, .. }) = self.kept.remove(&number) else { return };
        match interest {
            Interest::Everything => {
                self.of_everything.remove(&number);
            }
            Interest::Stream(stream_id) => remove_from(&mut self.by_stream, &stream_id, number),
            Interest::Filtered(Filter { stream_types, event_types }) if event_types.is_empty() => {
                for name in stream_types {
                    remove_from(&mut self.by_stream_type, &name, number);
                }
            }
            Interest::Filtered(Filter { event_types, .. }) => {
                for name in event_types {
                    remove_from(&mut self.by_event_type, &name, number);
                }
            }
        }
    }

    /// Where this one has to look, or that it has seen everything; `None` when it has ended.
    pub(super) fn found(&self, number: u64) -> Option<Option<Checkpoint>> {
        self.kept.get(&number).map(|kept| kept.found)
    }

    /// This one has seen everything before `rest`, or everything.
    pub(super) fn has_seen(&mut self, number: u64, rest: Option<Checkpoint>) {
        if let Some(kept) = self.kept.get_mut(&number) {
            kept.found = rest;
        }
    }

    /// Wakes those for whom something is among what arrived, from `from` on.
    pub(super) fn wake(&mut self, from: Checkpoint, arrived: &[Arc<LogEntry>]) {
        for number in &self.of_everything {
            note(&mut self.kept, *number, from, None);
        }
        for entry in arrived {
            for number in self.by_stream.get(&entry.stream_id).into_iter().flatten() {
                note(&mut self.kept, *number, entry.checkpoint, None);
            }
            if let Some(stream_type) = &entry.stream_type {
                for number in self.by_stream_type.get(stream_type).into_iter().flatten() {
                    note(&mut self.kept, *number, entry.checkpoint, None);
                }
            }
            if self.by_event_type.is_empty() {
                continue;
            }
            let stream_type = Some(entry.stream_type.as_ref());
            match entry.events.iter() {
                Ok(events) => {
                    for name in events.filter_map(json::event_type) {
                        for number in self.by_event_type.get(&*name).into_iter().flatten() {
                            note(&mut self.kept, *number, entry.checkpoint, stream_type);
                        }
                    }
                }
                // Nobody knows what a quarantined one holds: its reader decides.
                Err(_) => {
                    for number in self.by_event_type.values().flatten() {
                        note(&mut self.kept, *number, entry.checkpoint, stream_type);
                    }
                }
            }
        }
    }

    /// Wakes those who wait for whatever arrives: a read failed.
    pub(super) fn wake_after_failure(&self) {
        for kept in self.of_everything.iter().filter_map(|number| self.kept.get(number)) {
            kept.wake.notify_one();
        }
    }

    /// Wakes all of them.
    pub(super) fn wake_all(&self) {
        for kept in self.kept.values() {
            kept.wake.notify_one();
        }
    }

    /// Ends all watches.
    pub(super) fn end_all(&mut self) {
        self.wake_all();
        *self = Self { last: self.last, ..Self::default() };
    }
}

/// Tells one that there is something at `at`, unless its filter names other stream types than this.
fn note(
    kept: &mut HashMap<u64, Kept>,
    number: u64,
    at: Checkpoint,
    stream_type: Option<Option<&StreamType>>,
) {
    let Some(kept) = kept.get_mut(&number).filter(|kept| kept.found.is_none()) else { return };
    if let (Some(given), Interest::Filtered(Filter { stream_types, .. })) = (stream_type, &kept.interest)
        && !stream_types.is_empty()
        && !given.is_some_and(|given| stream_types.contains(given))
    {
        return;
    }
    kept.found = Some(at);
    kept.wake.notify_one();
}

fn remove_from<K: Eq + Hash>(index: &mut HashMap<K, HashSet<u64>>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Changeset, Events, Json, Timestamp};

    fn entry(checkpoint: u64, stream: &str, stream_type: Option<&str>, events: &str) -> Arc<LogEntry> {
        let changeset = Changeset {
            stream_id: stream.parse().unwrap(),
            changeset_id: 1.into(),
            first_event_id: 1.into(),
            events: Events::parse(events).unwrap(),
            metadata: Json::parse("{}").unwrap(),
            timestamp: Timestamp::default(),
            stream_type: stream_type.map(|name| name.parse().unwrap()),
            trace: None,
        };
        Arc::new(LogEntry { checkpoint: Checkpoint::new(checkpoint), changeset })
    }

    #[test]
    fn each_is_told_of_the_first_that_concerns_it_and_nothing_stays_behind() {
        let types = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<_>>();
        let filtered = |stream_types: &[&str], event_types: &[&str]| {
            Interest::Filtered(Filter {
                stream_types: types(stream_types),
                ..Filter::event_types(event_types.to_vec())
            })
        };
        let arrived = [
            entry(10, "a", None, r#"[{"type":"x"}]"#),
            entry(11, "b", Some("t"), r#"[7,{"type":"y"}]"#),
            entry(13, "a", Some("u"), r#"[{"type":"y"},{"type":"x"}]"#),
        ];
        let mut watches = Watches::default();
        for (interest, found) in [
            (Interest::Everything, Some(9)),
            (Interest::Stream("a".parse().unwrap()), Some(10)),
            (Interest::Stream("b".parse().unwrap()), Some(11)),
            (Interest::Stream("c".parse().unwrap()), None),
            (filtered(&["t", "u"], &[]), Some(11)),
            (filtered(&["v"], &[]), None),
            (filtered(&[], &["y", "z"]), Some(11)),
            (filtered(&["u"], &["x"]), Some(13)),
            (filtered(&["t"], &["x"]), None),
        ] {
            let (number, _) = watches.add(interest.clone(), None);
            watches.wake(Checkpoint::new(9), &arrived);
            let told = watches.found(number).unwrap();
            assert_eq!(told.map(Checkpoint::get), found, "{interest:?}");
            // It is told of nothing later before it has looked.
            watches.wake(Checkpoint::new(20), &[entry(20, "a", Some("t"), "[1]")]);
            assert!(told.is_none() || watches.found(number) == Some(told));
            watches.remove(number);
        }
        assert!(watches.is_empty() && watches.of_everything.is_empty() && watches.by_stream.is_empty());
        assert!(watches.by_stream_type.is_empty() && watches.by_event_type.is_empty());
    }
}
