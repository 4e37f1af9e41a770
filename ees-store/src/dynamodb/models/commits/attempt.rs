//! What an attempt does between two calls.

use super::state::{Attempt, Client, State, Stored, Verdict};
use super::{Commits, Mutation};
use crate::decide::Refusal;
use crate::dynamodb::keys::has_key;
use crate::dynamodb::writer::{guess, is_of};
use crate::{Committed, Error, Result};

impl Commits {
    pub(super) fn send(&self, state: &mut State, client: Client, known: Option<u64>) {
        let commit = &self.commits[client];
        let known = known.map(Self::tail);
        let guess = guess(commit, known.as_ref()).map(|tail| tail.last_changeset.get());
        state.attempts[client].push(Attempt::Over);
        let attempt = state.attempts[client].len() - 1;
        if self.has(Mutation::KeyIsLookedUpBeforeTheEnd)
            && let Some(answer) = self.known(state, client, state.stored.len())
        {
            return self.repeat(state, client, attempt, answer);
        }
        match guess.filter(|end| self.decided(client, *end).is_ok()) {
            Some(end) => self.with_end(state, client, attempt, end),
            None => state.attempts[client][attempt] = Attempt::ReadingEnd,
        }
    }

    pub(super) fn with_end(&self, state: &mut State, client: Client, attempt: usize, end: u64) {
        let asks = self.wanted[client].key.is_some() && Self::tail(end).exists();
        if asks && !self.has(Mutation::KeyIsLookedUpBeforeTheEnd) {
            state.attempts[client][attempt] = Attempt::LookingUp { end };
        } else {
            self.decide(state, client, attempt, end);
        }
    }

    pub(super) fn decide(&self, state: &mut State, client: Client, attempt: usize, end: u64) {
        match self.decided(client, end) {
            Ok(_) => state.attempts[client][attempt] = Attempt::Writing { end },
            Err(refusal) => self.tell(state, client, attempt, Err(refusal.into())),
        }
    }

    pub(super) fn look_up(
        &self,
        state: &mut State,
        client: Client,
        attempt: usize,
        seen: usize,
    ) -> Option<()> {
        let answer = self.known(state, client, seen);
        match (state.attempts[client][attempt].clone(), answer) {
            (Attempt::LookingUp { .. } | Attempt::LookingUpAgain, Some(answer)) => {
                self.repeat(state, client, attempt, answer);
            }
            (Attempt::LookingUp { end }, None) => self.decide(state, client, attempt, end),
            (Attempt::LookingUpAgain, None) => self.conflict(state, client, attempt),
            _ => return None,
        }
        Some(())
    }

    pub(super) fn write(
        &self,
        state: &mut State,
        client: Client,
        attempt: usize,
        is_heard: bool,
    ) -> Option<()> {
        let Attempt::Writing { end } = state.attempts[client][attempt] else { return None };
        let at = usize::try_from(end).unwrap();
        let own = Stored { client, attempt, is_late: state.is_late };
        let Some(there) = state.stored.get(at).copied() else {
            state.stored.push(own);
            if is_heard {
                self.stored(state, client, attempt, end);
            }
            return Some(());
        };
        if self.has(Mutation::WriteHasNoCondition) {
            state.stored[at] = own;
            self.stored(state, client, attempt, end);
            return Some(());
        }
        if !is_heard {
            return None;
        }
        let winner = self.item(at, &there);
        let commit = &self.commits[client];
        if is_of(&winner, Self::commit_id(client, attempt)) && !self.has(Mutation::OwnWriteIsNotRecognised) {
            self.stored(state, client, attempt, end);
            return Some(());
        }
        match &commit.idempotency_key {
            Some(_) if self.has(Mutation::LoserDoesNotLookAgain) => self.conflict(state, client, attempt),
            Some(key) if has_key(&winner, commit, key) => {
                let answer = self.answered(&winner, client);
                self.repeat(state, client, attempt, answer);
            }
            Some(_) => state.attempts[client][attempt] = Attempt::LookingUpAgain,
            None => self.conflict(state, client, attempt),
        }
        Some(())
    }

    pub(super) fn go_on(&self, state: &mut State, client: Client, attempt: usize) -> Option<()> {
        let seen = state.stored.len();
        match state.attempts[client][attempt] {
            Attempt::ReadingEnd => self.with_end(state, client, attempt, seen as u64),
            Attempt::LookingUp { .. } | Attempt::LookingUpAgain => {
                self.look_up(state, client, attempt, seen)?;
            }
            Attempt::Writing { .. } => self.write(state, client, attempt, true)?,
            Attempt::Over => return None,
        }
        Some(())
    }

    pub(super) fn stored(&self, state: &mut State, client: Client, attempt: usize, end: u64) {
        let committed = Committed { changeset_id: (end + 1).into(), checkpoint: None };
        self.tell(state, client, attempt, Ok(committed));
    }

    pub(super) fn repeat(
        &self,
        state: &mut State,
        client: Client,
        attempt: usize,
        answer: Result<Committed>,
    ) {
        state.is_repeat = answer.is_ok();
        self.tell(state, client, attempt, answer);
    }

    pub(super) fn conflict(&self, state: &mut State, client: Client, attempt: usize) {
        let expectation = self.commits[client].expectation;
        self.tell(state, client, attempt, Err(Refusal::Conflict { expectation }.into()));
    }

    pub(super) fn tell(&self, state: &mut State, client: Client, attempt: usize, verdict: Result<Committed>) {
        let is_last = attempt + 1 == state.attempts[client].len();
        state.attempts[client][attempt] = Attempt::Over;
        if !is_last || state.told[client].is_some() {
            return;
        }
        state.told[client] = Some(match verdict {
            Ok(committed) => Verdict::Stored(committed.changeset_id.get()),
            Err(Error::Refused(Refusal::Conflict { .. })) => Verdict::Conflict,
            Err(Error::Refused(Refusal::AheadOfStream { .. })) => Verdict::AheadOfStream,
            Err(Error::Refused(Refusal::KeyReused)) => Verdict::KeyReused,
            Err(other) => unreachable!("{other}"),
        });
    }
}
