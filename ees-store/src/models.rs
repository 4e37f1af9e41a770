//! Commits of the clients in the models of the store's protocols.
//!
//! A model stands beside the code whose decisions it takes: `models` in `dynamodb`, `postgres` and `sqlite`. Each is
//! checked as it is, where all must hold, and with mutations put into it, each of which must be found.

use crate::{Commit, Events, Expectation};

/// A commit that a client wants to make. It has one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) stream: &'static str,
    pub(crate) expects: u64,
    pub(crate) key: Option<&'static str>,
    pub(crate) body: u8,
}

pub(crate) const FIRST: Wanted = Wanted { stream: "a", expects: 0, key: Some("k"), body: 1 };
pub(crate) const RIVAL: Wanted = Wanted { key: None, body: 2, ..FIRST };
pub(crate) const OTHER_BODY: Wanted = Wanted { body: 3, ..FIRST };
pub(crate) const NEXT: Wanted = Wanted { expects: 1, key: Some("l"), body: 4, ..FIRST };
pub(crate) const NEXT_WITH_SAME_KEY: Wanted = Wanted { expects: 1, body: 5, ..FIRST };

impl Wanted {
    pub(crate) fn commit(&self) -> Commit {
        let expectation = match self.expects {
            0 => Expectation::NewStream,
            last => Expectation::LastChangeset(last.into()),
        };
        let events = Events::parse(&format!("[{}]", self.body)).unwrap();
        let commit = Commit::new(self.stream.parse().unwrap(), expectation, events);
        match self.key {
            Some(key) => commit.with_idempotency_key(key.parse().unwrap()),
            None => commit,
        }
    }
}

/// Whether there are two among them which are so.
pub(crate) fn has_two(wanted: &[Wanted], are: impl Fn(&Wanted, &Wanted) -> bool) -> bool {
    wanted.iter().any(|one| wanted.iter().any(|other| are(one, other)))
}
