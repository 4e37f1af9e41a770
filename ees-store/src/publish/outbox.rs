//! Which messages go together, and which come next: pure.

use std::collections::{HashMap, VecDeque};

use super::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, Message};

/// Messages that wait to be sent, in order within each group.
///
/// Of a group, one message is under way at a time. A call takes several messages, in their order, and may
/// refuse any of them (<https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>: "the batch request
/// can result in a combination of successful and unsuccessful actions"), which nowhere excepts those of one
/// group. With two of a group in it the later one could get through without the earlier one, and nobody could
/// put that right.
pub(super) struct Outbox<'a> {
    groups: Vec<VecDeque<Waiting<'a>>>,
}

/// A message, and the topic it is for by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'a> {
    /// The number of its changeset in the call.
    pub(super) number: usize,
    pub(super) topic: usize,
    pub(super) message: &'a Message,
}

/// The first messages of some groups, all for one topic: what one call sends.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) topic: usize,
    /// Each with the number of its group.
    pub(super) messages: Vec<(usize, &'a Message)>,
}

impl<'a> Outbox<'a> {
    /// Of each topic's messages, those of a stream keep their order; those of other topics do not wait for
    /// them.
    pub(super) fn of(messages: impl IntoIterator<Item = Waiting<'a>>) -> Self {
        let mut groups: Vec<VecDeque<Waiting<'a>>> = Vec::new();
        let mut numbers: HashMap<(usize, &str), usize> = HashMap::new();
        for waiting in messages {
            let number = *numbers.entry((waiting.topic, waiting.message.group_id())).or_insert_with(|| {
                groups.push(VecDeque::new());
                groups.len() - 1
            });
            groups[number].push_back(waiting);
        }
        Self { groups }
    }

    /// How many groups there are; each has its number.
    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The first message of each group that may go, in as few calls as can be.
    pub(super) fn batches(&self, may_go: impl Fn(usize) -> bool) -> Vec<Batch<'a>> {
        let mut batches: Vec<Batch<'a>> = Vec::new();
        // Of each topic, the call that has room left.
        let mut open: HashMap<usize, (usize, usize)> = HashMap::new();
        let ready = self.groups.iter().enumerate().filter(|(group, _)| may_go(*group));
        for (group, Waiting { topic, message, .. }) in
            ready.filter_map(|(group, waiting)| Some((group, *waiting.front()?)))
        {
            let size = message.size_bytes();
            match open.get_mut(&topic) {
                Some((batch, bytes))
                    if batches[*batch].messages.len() < BATCH_MESSAGES_MAX
                        && *bytes + size <= BATCH_BYTES_MAX =>
                {
                    batches[*batch].messages.push((group, message));
                    *bytes += size;
                }
                _ => {
                    open.insert(topic, (batches.len(), size));
                    batches.push(Batch { topic, messages: vec![(group, message)] });
                }
            }
        }
        batches
    }

    /// The first message of this group is done with: the next one may go.
    pub(super) fn done(&mut self, group: usize) {
        self.groups[group].pop_front();
    }

    /// What has not been sent, the first of each group first.
    pub(super) fn left(&self) -> impl Iterator<Item = Waiting<'a>> {
        self.groups.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Changeset, Events, Json, Timestamp};

    fn message(stream: &str, changeset_id: u64, bytes: usize) -> Message {
        Message::of_changeset(&Changeset {
            stream_id: stream.parse().unwrap(),
            changeset_id: changeset_id.into(),
            first_event_id: changeset_id.into(),
            events: Events::parse(&format!("[\"{}\"]", "-".repeat(bytes))).unwrap(),
            metadata: Json::parse("{}").unwrap(),
            timestamp: Timestamp::from_micros(0),
            stream_type: None,
            trace: None,
        })
        .unwrap()
    }

    fn shown(batches: &[Batch<'_>]) -> Vec<String> {
        let one =
            |(_, message): &(usize, &Message)| format!("{}{}", message.stream_id(), message.changeset_id());
        let batch = |batch: &Batch<'_>| batch.messages.iter().map(one).collect::<Vec<_>>().join(" ");
        batches.iter().map(batch).collect()
    }

    #[test]
    fn one_message_of_a_group_is_under_way_at_a_time() {
        let messages = [message("a", 1, 0), message("a", 2, 0), message("b", 1, 0), message("a", 3, 0)];
        let mut outbox = Outbox::of(messages.iter().map(|message| Waiting { number: 0, topic: 0, message }));
        assert_eq!(shown(&outbox.batches(|_| true)), ["a1 b1"]);
        outbox.done(1);
        assert_eq!(shown(&outbox.batches(|_| true)), ["a1"], "a1 was not taken: its group waits");
        outbox.done(0);
        assert_eq!(shown(&outbox.batches(|_| true)), ["a2"]);
        assert!(outbox.batches(|group| group != 0).is_empty());
        assert_eq!(outbox.left().map(|it| it.message.changeset_id().get()).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_call_has_ten_messages_and_256_kib_at_most() {
        let messages: Vec<_> = (0..25).map(|n| message(&format!("s{n:02}-"), 1, 0)).collect();
        let outbox = Outbox::of(messages.iter().map(|message| Waiting { number: 0, topic: 0, message }));
        let sizes = |outbox: &Outbox<'_>| -> Vec<usize> {
            outbox.batches(|_| true).iter().map(|batch| batch.messages.len()).collect()
        };
        assert_eq!(sizes(&outbox), [10, 10, 5]);
        let messages: Vec<_> = (0..5).map(|n| message(&format!("s{n}-"), 1, 100_000)).collect();
        let outbox = Outbox::of(messages.iter().map(|message| Waiting { number: 0, topic: 0, message }));
        assert_eq!(sizes(&outbox), [2, 2, 1]);
        for batch in outbox.batches(|_| true) {
            assert!(batch.messages.iter().map(|(_, it)| it.size_bytes()).sum::<usize>() <= BATCH_BYTES_MAX);
        }
    }

    #[test]
    fn topics_are_apart() {
        let messages = [message("a", 1, 0), message("a", 2, 0)];
        let both =
            messages.iter().flat_map(|message| [0, 1].map(|topic| Waiting { number: 0, topic, message }));
        let outbox = Outbox::of(both);
        let batches = outbox.batches(|_| true);
        assert_eq!(shown(&batches), ["a1", "a1"]);
        assert_eq!(batches.iter().map(|batch| batch.topic).collect::<Vec<_>>(), [0, 1]);
    }
}
