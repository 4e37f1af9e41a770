//! What is stored, as the product's own items.

use std::time::Duration;

use uuid::Uuid;

use super::state::{Client, State, Stored};
use super::{Commits, Mutation};
use crate::decide::{Refusal, Tail, decide};
use crate::dynamodb::item::{self, Item};
use crate::dynamodb::keys::{Keys, answer_of_changeset, counts, has_key};
use crate::{Changeset, Committed, Result, Timestamp};

const KEEP: Duration = Duration::from_secs(10);

impl Commits {
    pub(super) fn now(is_late: bool) -> Timestamp {
        Timestamp::from_micros(if is_late { 1_000_000_000 } else { 0 })
    }

    pub(super) fn tail(end: u64) -> Tail {
        Tail { last_changeset: end.into(), last_event: end.into(), ..Tail::default() }
    }

    pub(super) fn commit_id(client: Client, attempt: usize) -> Uuid {
        Uuid::from_u128((client as u128) << 64 | attempt as u128)
    }

    /// What a commit becomes after this end, as it is decided.
    pub(super) fn decided(&self, client: Client, end: u64) -> Result<Changeset, Refusal> {
        decide(&Self::tail(end), &self.commits[client], usize::MAX, Timestamp::from_micros(1))
    }

    /// An item as its attempt has written it.
    pub(super) fn item(&self, number: usize, stored: &Stored) -> Item {
        let commit = &self.commits[stored.client];
        let changeset = self.decided(stored.client, number as u64).or_else(|_| {
            // Only what was written without a condition is not where it was expected.
            self.decided(stored.client, self.wanted[stored.client].expects)
        });
        let changeset = changeset.unwrap();
        let id = Self::commit_id(stored.client, stored.attempt);
        let mut item = item::of_changeset(&changeset, id);
        if !self.has(Mutation::KeyIsForgotten) {
            let keys = Keys::InChangesets { index: "keys".into(), or_items: false };
            let stored_as = (changeset.changeset_id, id);
            let marker = keys.remember(&mut item, commit, stored_as, Self::now(stored.is_late), KEEP);
            assert_eq!(marker, None);
        }
        item
    }

    /// The answer to a commit whose key one of the first changesets has.
    pub(super) fn known(&self, state: &State, client: Client, seen: usize) -> Option<Result<Committed>> {
        let commit = &self.commits[client];
        let key = commit.idempotency_key.as_ref()?;
        let mut items =
            state.stored[..seen].iter().enumerate().map(|(number, stored)| self.item(number, stored));
        let last = items.rfind(|item| has_key(item, commit, key))?;
        counts(&last, Self::now(state.is_late)).then(|| self.answered(&last, client))
    }

    pub(super) fn answered(&self, item: &Item, client: Client) -> Result<Committed> {
        let answer = answer_of_changeset(item, &self.commits[client]);
        if self.has(Mutation::BodyIsNotCompared) && answer.is_err() {
            let changeset_id = item::to_number(item, item::CHANGESET_ID)?.into();
            return Ok(Committed { changeset_id, checkpoint: None });
        }
        answer
    }
}
