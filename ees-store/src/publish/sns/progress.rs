//! What topics have accepted of unfinished changesets: a retry in the same process continues after it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::publish::Message;
use crate::publish::outbox::{Outbox, Waiting};

/// As many changesets are remembered, and up to twice as many: 16 bytes each, and what a table needs besides.
const REMEMBERED: usize = 10_000;

/// The messages about a changeset that are for one topic, in order.
pub(super) struct Portion {
    /// The changeset's number in the call.
    pub(super) number: usize,
    pub(super) topic: usize,
    pub(super) messages: Vec<Message>,
    /// This many of them need not be sent.
    pub(super) taken: usize,
}

impl Portion {
    /// What is to be sent of it.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Waiting<'_>> {
        let left = self.messages.iter().skip(self.taken);
        left.map(|message| Waiting { number: self.number, topic: self.topic, message })
    }
}

/// How many messages of a changeset a topic took, for changesets that come again. Clones know the same.
///
/// It is kept by what the messages say, so that another changeset of the same name, as of a log that was
/// replaced, is none that was taken. What it forgets is sent again; a changeset that is done with is
/// forgotten.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    hasher: RandomState,
    young: HashMap<u64, usize>,
    /// What was young when there was too much of it, and goes when there is again.
    old: HashMap<u64, usize>,
}

impl Progress {
    /// Notes in each portion what was taken of it before.
    ///
    /// Of a topic's messages about a stream only the first ones are left out, up to the first that was not
    /// taken: so no message is ever sent again behind which something was left out, and the order holds
    /// whatever was forgotten.
    pub(super) fn recall<'a>(&self, portions: &mut [Portion], arn: impl Fn(usize) -> &'a str) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stopped = HashSet::new();
        for portion in portions {
            let Some(group) = portion.messages.first().map(|message| message.group_id().to_owned()) else {
                continue;
            };
            let group = (portion.topic, group);
            if stopped.contains(&group) {
                continue;
            }
            portion.taken = known.taken(known.key(arn(portion.topic), &portion.messages));
            if portion.taken < portion.messages.len() {
                stopped.insert(group);
            }
        }
    }

    /// Remembers what was taken of changesets that come again: those from number `done` on. Forgets the
    /// others.
    pub(super) fn note<'a>(
        &self,
        portions: &[Portion],
        left: &Outbox<'_>,
        done: usize,
        arn: impl Fn(usize) -> &'a str,
    ) {
        let mut missing: HashMap<(usize, usize), usize> = HashMap::new();
        for waiting in left.left() {
            *missing.entry((waiting.number, waiting.topic)).or_default() += 1;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for portion in portions {
            let key = known.key(arn(portion.topic), &portion.messages);
            let missing = missing.get(&(portion.number, portion.topic)).copied().unwrap_or(0);
            known.set(key, if portion.number < done { 0 } else { portion.messages.len() - missing });
        }
    }
}

impl Known {
    fn key(&self, arn: &str, messages: &[Message]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        arn.hash(&mut hasher);
        for message in messages {
            message.body().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn taken(&self, key: u64) -> usize {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied().unwrap_or(0)
    }

    fn set(&mut self, key: u64, taken: usize) {
        self.young.remove(&key);
        self.old.remove(&key);
        if taken == 0 {
            return;
        }
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Changeset, Events, Json, Timestamp};

    fn portion(number: usize, stream: &str, changeset_id: u64, events: &str) -> Portion {
        let changeset = Changeset {
            stream_id: stream.parse().unwrap(),
            changeset_id: changeset_id.into(),
            first_event_id: 1.into(),
            events: Events::parse(events).unwrap(),
            metadata: Json::parse("{}").unwrap(),
            timestamp: Timestamp::from_micros(0),
            stream_type: None,
            trace: None,
        };
        Portion { number, topic: 0, messages: Message::of_events(&changeset).unwrap().collect(), taken: 0 }
    }

    fn arn(topic: usize) -> &'static str {
        ["arn:0", "arn:1"][topic]
    }

    /// Has the first messages taken, in the order in which there are groups of them.
    fn take(progress: &Progress, portions: &mut [Portion], groups: &[usize], done: usize) {
        progress.recall(portions, arn);
        let mut outbox = Outbox::of(portions.iter().flat_map(Portion::waiting));
        for group in groups {
            outbox.done(*group);
        }
        progress.note(portions, &outbox, done, arn);
    }

    fn recalled(progress: &Progress, mut portions: Vec<Portion>) -> Vec<usize> {
        progress.recall(&mut portions, arn);
        portions.iter().map(|portion| portion.taken).collect()
    }

    #[test]
    fn what_comes_again_goes_on_behind_what_was_taken() {
        let progress = Progress::default();
        let batch =
            || vec![portion(0, "a", 1, "[1,2,3]"), portion(1, "b", 1, "[1]"), portion(2, "a", 2, "[4]")];
        take(&progress, &mut batch(), &[0, 0, 1], 0);
        assert_eq!(recalled(&progress, batch()), [2, 1, 0]);
        take(&progress, &mut batch(), &[0], 2);
        assert_eq!(recalled(&progress, batch()), [0, 0, 0], "it is forgotten when it is done with");
    }

    #[test]
    fn another_changeset_of_the_same_name_was_not_taken() {
        let progress = Progress::default();
        take(&progress, &mut [portion(0, "a", 1, "[1,2]")], &[0], 0);
        assert_eq!(recalled(&progress, vec![portion(0, "a", 1, "[1,3]")]), [0]);
        assert_eq!(recalled(&progress, vec![portion(7, "a", 1, "[1,2]")]), [1]);
        let elsewhere = Portion { topic: 1, ..portion(0, "a", 1, "[1,2]") };
        assert_eq!(recalled(&progress, vec![elsewhere]), [0]);
    }

    #[test]
    fn nothing_is_left_out_behind_what_is_sent_again() {
        let progress = Progress::default();
        take(&progress, &mut [portion(0, "a", 2, "[1]")], &[0], 0);
        assert_eq!(recalled(&progress, vec![portion(0, "a", 1, "[0]"), portion(1, "a", 2, "[1]")]), [0, 0]);
        assert_eq!(recalled(&progress, vec![portion(0, "b", 1, "[0]"), portion(1, "a", 2, "[1]")]), [0, 1]);
    }

    #[test]
    fn only_so_many_changesets_are_remembered_and_the_last_ones_are() {
        let mut known = Known::default();
        for key in 0..3 * REMEMBERED as u64 {
            known.set(key, 1);
        }
        assert!(known.young.len() + known.old.len() <= 2 * REMEMBERED);
        assert_eq!((known.taken(0), known.taken(3 * REMEMBERED as u64 - 1)), (0, 1));
    }
}
