//! Commits to one stream on DynamoDB, with idempotency keys in their changesets.
//!
//! **What is modelled.** Clients send commits to any process, and send them again when they hear nothing, while earlier
//! attempts go on, for as long as it takes. An attempt reads the stream's end or guesses it, looks the key up, and
//! writes. Between any two of these calls anybody else may do anything. The answer to a write may be lost; then it is sent
//! again. An attempt may stop anywhere (its process dies): it simply does nothing any more. Time may pass, after which
//! keys do not count.
//!
//! **What is the product's own.** The decision (`decide`), the guess (`guess`), what an item is made of
//! (`item::of_changeset`, `Keys::remember`), and what it tells: whose it is (`is_of`, `has_key`), whether its key
//! counts (`counts`), and the answer to a repeat (`answer_of_changeset`).
//!
//! **What is left out.** Typed streams and the keys of earlier formats, where a commit is a transaction. A stream's keys
//! are its own, so one stream is enough.
//!
//! **What is promised.** See the properties below.

mod attempt;
mod items;
mod mutation;
mod properties;
mod state;
mod tests;

use std::fmt;
use std::sync::Arc;

use stateright::{Model, Property};

use crate::Commit;
use crate::models::Wanted;
use mutation::Mutation;
use state::{Attempt, Client, State};

#[derive(Clone)]
struct Commits {
    /// By client.
    wanted: Vec<Wanted>,
    commits: Arc<Vec<Commit>>,
    /// Attempts of each client, at most.
    attempts: usize,
    time_passes: bool,
    mutation: Option<Mutation>,
}

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, attempts, time_passes, mutation, .. } = self;
        write!(f, "{attempts} attempts of each of {wanted:?}, time passes: {time_passes}, {mutation:?}")
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// The client sends its commit, for the first time or again. The process knows an end that the stream once had.
    Send {
        client: Client,
        known: Option<u64>,
    },
    GoOn {
        client: Client,
        attempt: usize,
    },
    /// It is written, and the answer is lost.
    WriteUnheard {
        client: Client,
        attempt: usize,
    },
    /// A lookup that does not see the last changeset (with a mutation only).
    LookUpLate {
        client: Client,
        attempt: usize,
    },
    PassTime,
}

impl Commits {
    fn new(wanted: &[Wanted]) -> Self {
        let commits = Arc::new(wanted.iter().map(Wanted::commit).collect());
        Self { wanted: wanted.to_vec(), commits, attempts: 2, time_passes: false, mutation: None }
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

impl Model for Commits {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            stored: Vec::new(),
            attempts: vec![Vec::new(); self.wanted.len()],
            told: vec![None; self.wanted.len()],
            is_late: false,
            is_repeat: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, attempts) in state.attempts.iter().enumerate() {
            let attempts_max = if self.wanted[client].key.is_some() { self.attempts } else { 1 };
            if state.told[client].is_none() && attempts.len() < attempts_max {
                let end = state.stored.len() as u64;
                actions.extend((0..=end).map(|known| Action::Send { client, known: Some(known) }));
                actions.push(Action::Send { client, known: None });
            }
            for (attempt, doing) in attempts.iter().enumerate() {
                match doing {
                    Attempt::Over => continue,
                    Attempt::Writing { .. } => actions.push(Action::WriteUnheard { client, attempt }),
                    Attempt::LookingUp { .. } | Attempt::LookingUpAgain
                        if self.has(Mutation::LookupIsNotConsistent) =>
                    {
                        actions.push(Action::LookUpLate { client, attempt });
                    }
                    _ => {}
                }
                actions.push(Action::GoOn { client, attempt });
            }
        }
        if self.time_passes && !state.is_late {
            actions.push(Action::PassTime);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.is_repeat = false;
        match action {
            Action::Send { client, known } => self.send(&mut next, client, known),
            Action::GoOn { client, attempt } => self.go_on(&mut next, client, attempt)?,
            Action::WriteUnheard { client, attempt } => self.write(&mut next, client, attempt, false)?,
            Action::LookUpLate { client, attempt } => {
                let seen = next.stored.len().saturating_sub(1);
                self.look_up(&mut next, client, attempt, seen)?;
            }
            Action::PassTime => next.is_late = true,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
