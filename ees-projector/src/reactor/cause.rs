//! What a reactor is given: an event, and names for what is done because of it.

use std::fmt::Write;
use std::ops::Deref;

use sha2::{Digest, Sha256};

use crate::event::Recorded;

/// An event that calls for something, with all that is known of it ([`Recorded`]).
#[derive(Debug)]
pub struct Cause<'a, E> {
    recorded: Recorded<'a, E>,
    reactor: &'a str,
}

// Derived, they would ask for `E: Clone`.
impl<E> Clone for Cause<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<E> Copy for Cause<'_, E> {}

impl<'a, E> Deref for Cause<'a, E> {
    type Target = Recorded<'a, E>;
    fn deref(&self) -> &Recorded<'a, E> {
        &self.recorded
    }
}

impl<'a, E> Cause<'a, E> {
    pub(crate) fn new(recorded: Recorded<'a, E>, reactor: &'a str) -> Self {
        Self { recorded, reactor }
    }

    /// The idempotency key of one effect of this event: the same in every repetition, and no other reactor, stream,
    /// changeset, event or effect has it. `effect` tells the effects of one event apart, such as `"mail"`.
    ///
    /// 64 hexadecimal digits: the SHA-256 of all five. Fit for an `Idempotency-Key`.
    pub fn key(&self, effect: &str) -> String {
        let mut hash = Sha256::new();
        for name in [self.reactor, self.stream_id().as_str(), effect] {
            // The length first: "a" and "bc" are not "ab" and "c".
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        hash.update(self.changeset_id().get().to_be_bytes());
        hash.update(self.recorded.event_id.get().to_be_bytes());
        hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use ees_store::{Changeset, Checkpoint, EventId, Events, Indexed, Json, Timestamp};

    use super::*;

    fn key(reactor: &str, stream: &str, changeset: u64, event: u64, effect: &str) -> String {
        let changeset = Changeset {
            stream_id: stream.parse().unwrap(),
            changeset_id: changeset.into(),
            first_event_id: 1.into(),
            events: Events::parse("[7]").unwrap(),
            metadata: Json::parse("{}").unwrap(),
            timestamp: Timestamp::from_micros(0),
            stream_type: None,
        };
        let indexed = Indexed { checkpoint: Checkpoint::START, changeset };
        Cause::new(Recorded::new(&(), EventId::new(event), &indexed), reactor).key(effect)
    }

    #[test]
    fn a_key_stays_the_same_and_belongs_to_one_effect() {
        let one = key("mails", "a", 1, 1, "welcome");
        assert_eq!(one, key("mails", "a", 1, 1, "welcome"));
        assert_eq!(one.len(), 64);
        for other in [
            key("mail", "sa", 1, 1, "welcome"),
            key("mails", "aw", 1, 1, "elcome"),
            key("mails", "a", 2, 1, "welcome"),
            key("mails", "a", 1, 2, "welcome"),
            key("mails", "a", 1, 1, "goodbye"),
        ] {
            assert_ne!(one, other);
        }
    }
}
