//! Group commit on SQLite: one thread that appends, its memory of streams' ends, and a process that may die.
//!
//! **What is modelled.** Clients send commits and, if these have a key, send them again when they hear nothing. The
//! thread takes all that waits into one transaction. That is committed, or fails, and then each commit is tried by
//! itself. The answers leave afterwards. The process may die between any two of these, also after the COMMIT and before
//! the answers; another one opens the file then, and knows no ends.
//!
//! **What is the product's own.** The decision (`decide`), and the end of a stream after a changeset (`Tail::after`). The
//! loop over a batch (`Appender::try_transaction`) is SQL with these in between, and is written down here once more
//! (`Writer::run`).
//!
//! **What is left out.** The order of statements within a transaction, which nobody sees. Keys that are forgotten. What
//! the file system does to a file.
//!
//! **What is promised.** See the properties below.

use std::fmt;
use std::sync::Arc;

use ees_test_models::checker::{holds, is_found, is_large};
use stateright::{Model, Property};

use crate::decide::{Refusal, Tail, decide};
use crate::models::{FIRST, NEXT, NEXT_WITH_SAME_KEY, OTHER_BODY, RIVAL, Wanted};
use crate::{Changeset, Commit, Timestamp};

const NUMBERED: &str = "each changeset is where its commit expected it";
const ONCE: &str = "a commit is stored once";
const ACKNOWLEDGED: &str = "what is acknowledged is stored, at that number and with that body";
const REFUSED: &str = "what is refused is not stored, then or later";
const REASON: &str = "a conflict is told only if another changeset is there";

const REPEATED: &str = "a repeat is answered with what the first attempt has stored";
const TOGETHER: &str = "several commits of a stream are stored together";
const DIED_BEFORE_ANSWER: &str = "a process dies after the COMMIT and before its answers";

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// Keys are looked up before the transaction begins, for the whole batch.
    KeysOfTheBatchAreNotSeen,
    /// A key is remembered in memory only.
    KeyDiesWithTheProcess,
    /// Another body with the same key is answered as a repeat.
    BodyIsNotCompared,
    /// Ends of streams stay in memory when the transaction fails.
    EndsOutliveAFailure,
    /// A refusal is told at once, a success after the COMMIT.
    RefusalLeavesBeforeTheCommit,
    /// All is told before the COMMIT.
    AnswerLeavesBeforeTheCommit,
}

#[derive(Clone)]
struct Writer {
    /// By client.
    wanted: Vec<Wanted>,
    commits: Arc<Vec<Commit>>,
    attempts: usize,
    mutation: Option<Mutation>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempts of each of {:?}, {:?}", self.attempts, self.wanted, self.mutation)
    }
}

type Client = usize;
type Attempt = (Client, usize);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    file: File,
    /// The last changeset of the stream, as the thread remembers it.
    end: Option<u64>,
    /// What a process has stored itself (with a mutation only).
    own: Vec<Client>,
    queue: Vec<Attempt>,
    doing: Doing,
    clients: Vec<Told>,
    happened: Happened,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct File {
    /// By number, whose commit it is.
    stored: Vec<Client>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Nothing,
    /// A transaction is about to be committed; then come those that are tried by themselves.
    Committing {
        batch: Vec<Attempt>,
        next: Vec<Attempt>,
    },
    Answering {
        told: Vec<(Attempt, Verdict)>,
        next: Vec<Attempt>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Told {
    attempts: usize,
    waits: bool,
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Stored { changeset: u64, is_repeat: bool },
    Conflict,
    AheadOfStream,
    KeyReused,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Happened {
    #[default]
    Nothing,
    Together,
    DiedBeforeAnswer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Send(Client),
    /// The client hears nothing, and waits no more.
    LoseAnswer(Client),
    Begin,
    Commit,
    Fail,
    Answer,
    Die,
}

impl Writer {
    fn new(wanted: &[Wanted]) -> Self {
        let commits = Arc::new(wanted.iter().map(Wanted::commit).collect());
        Self { wanted: wanted.to_vec(), commits, attempts: 2, mutation: None }
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn with_key(&self, stored: &[Client], own: &[Client], client: Client) -> Option<usize> {
        let key = self.wanted[client].key?;
        let is_known = |of: &Client| !self.has(Mutation::KeyDiesWithTheProcess) || own.contains(of);
        stored.iter().position(|of| self.wanted[*of].key == Some(key) && is_known(of))
    }

    fn decided(&self, client: Client, tail: &Tail) -> Result<Changeset, Refusal> {
        decide(tail, &self.commits[client], usize::MAX, Timestamp::from_micros(1))
    }

    /// As `Appender::try_transaction` goes through a batch: what is stored then, where the stream ends, and what each is
    /// told.
    fn run(&self, state: &State, batch: &[Attempt]) -> (Vec<Client>, Option<u64>, Vec<(Attempt, Verdict)>) {
        let mut stored = state.file.stored.clone();
        let mut own = state.own.clone();
        let mut tail = None;
        let mut told = Vec::new();
        for &(client, attempt) in batch {
            let seen =
                if self.has(Mutation::KeysOfTheBatchAreNotSeen) { &state.file.stored } else { &stored };
            if let Some(at) = self.with_key(seen, &own, client) {
                let is_same = self.wanted[stored[at]].body == self.wanted[client].body;
                let verdict = if is_same || self.has(Mutation::BodyIsNotCompared) {
                    Verdict::Stored { changeset: at as u64 + 1, is_repeat: true }
                } else {
                    Verdict::KeyReused
                };
                told.push(((client, attempt), verdict));
                continue;
            }
            let end = state.end.unwrap_or(state.file.stored.len() as u64);
            let tail = tail.get_or_insert_with(|| Tail {
                last_changeset: end.into(),
                last_event: end.into(),
                ..Tail::default()
            });
            let verdict = match self.decided(client, tail) {
                Ok(changeset) => {
                    stored.push(client);
                    own.push(client);
                    *tail = Tail::after(&changeset);
                    Verdict::Stored { changeset: changeset.changeset_id.get(), is_repeat: false }
                }
                Err(Refusal::Conflict { .. }) => Verdict::Conflict,
                Err(Refusal::AheadOfStream { .. }) => Verdict::AheadOfStream,
                Err(other) => unreachable!("{other}"),
            };
            told.push(((client, attempt), verdict));
        }
        let end = tail.map(|tail| tail.last_changeset.get()).or(state.end);
        (stored, end, told)
    }

    fn begin(&self, state: &mut State, batch: Vec<Attempt>, next: Vec<Attempt>) {
        let (_, _, told) = self.run(state, &batch);
        for (attempt, verdict) in told {
            let is_refusal = !matches!(verdict, Verdict::Stored { .. });
            if self.has(Mutation::AnswerLeavesBeforeTheCommit)
                || (is_refusal && self.has(Mutation::RefusalLeavesBeforeTheCommit))
            {
                Self::tell(state, attempt, verdict);
            }
        }
        state.doing = Doing::Committing { batch, next };
    }

    fn commit(&self, state: &mut State, batch: &[Attempt], next: Vec<Attempt>) {
        let (stored, end, told) = self.run(state, batch);
        if stored.len() > state.file.stored.len() + 1 {
            state.happened = Happened::Together;
        }
        if self.has(Mutation::KeyDiesWithTheProcess) {
            state.own.extend(&stored[state.file.stored.len()..]);
        }
        (state.file.stored, state.end) = (stored, end);
        state.doing = Doing::Answering { told, next };
    }

    /// Nothing is stored. Each is tried by itself; one that was alone is told that the file takes nothing.
    fn fail(&self, state: &mut State, batch: Vec<Attempt>, next: Vec<Attempt>) {
        if self.has(Mutation::EndsOutliveAFailure) {
            state.end = self.run(state, &batch).1;
        } else {
            state.end = None;
        }
        if batch.len() > 1 {
            self.go_on(state, batch);
            return;
        }
        for (client, attempt) in batch {
            let told = &mut state.clients[client];
            told.waits &= told.attempts != attempt;
        }
        self.go_on(state, next);
    }

    /// With the next one that is to be tried by itself.
    fn go_on(&self, state: &mut State, mut next: Vec<Attempt>) {
        if next.is_empty() {
            state.doing = Doing::Nothing;
        } else {
            let first = next.remove(0);
            self.begin(state, vec![first], next);
        }
    }

    fn tell(state: &mut State, (client, attempt): Attempt, verdict: Verdict) {
        let told = &mut state.clients[client];
        if told.waits && told.attempts == attempt {
            told.waits = false;
            told.verdict = Some(verdict);
        }
    }

    fn keeps_what_is_acknowledged(&self, state: &State) -> bool {
        state.clients.iter().zip(&self.wanted).all(|(told, wanted)| {
            let Some(Verdict::Stored { changeset, .. }) = told.verdict else { return true };
            state.file.stored.get(changeset as usize - 1).is_some_and(|client| {
                let stored = &self.wanted[*client];
                (stored.key, stored.body) == (wanted.key, wanted.body)
            })
        })
    }

    fn does_not_store_what_is_refused(&self, state: &State) -> bool {
        state.clients.iter().enumerate().all(|(client, told)| {
            told.verdict != Some(Verdict::Conflict) || !state.file.stored.contains(&client)
        })
    }

    fn has_reasons(&self, state: &State) -> bool {
        state.clients.iter().zip(&self.wanted).all(|(told, wanted)| {
            told.verdict != Some(Verdict::Conflict) || state.file.stored.len() as u64 > wanted.expects
        })
    }

    /// Commits and keys: no two of the same.
    fn stores_once(&self, state: &State) -> bool {
        let stored = &state.file.stored;
        let is_same = |one: &Client, other: &Client| {
            one == other
                || (self.wanted[*one].key.is_some() && self.wanted[*one].key == self.wanted[*other].key)
        };
        stored.iter().all(|one| stored.iter().filter(|other| is_same(one, other)).count() == 1)
    }
}

impl Model for Writer {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            file: File::default(),
            end: None,
            own: Vec::new(),
            queue: Vec::new(),
            doing: Doing::Nothing,
            clients: vec![Told::default(); self.wanted.len()],
            happened: Happened::Nothing,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, told) in state.clients.iter().enumerate() {
            let attempts = if self.wanted[client].key.is_some() { self.attempts } else { 1 };
            if told.waits {
                actions.push(Action::LoseAnswer(client));
            } else if told.verdict.is_none() && told.attempts < attempts {
                actions.push(Action::Send(client));
            }
        }
        match &state.doing {
            Doing::Nothing if state.queue.is_empty() => {}
            Doing::Nothing => actions.extend([Action::Begin, Action::Die]),
            Doing::Committing { .. } => actions.extend([Action::Commit, Action::Fail, Action::Die]),
            Doing::Answering { .. } => actions.extend([Action::Answer, Action::Die]),
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.happened = Happened::Nothing;
        match (action, state.doing.clone()) {
            (Action::Send(client), _) => {
                let told = &mut next.clients[client];
                told.attempts += 1;
                told.waits = true;
                next.queue.push((client, told.attempts));
            }
            (Action::LoseAnswer(client), _) => next.clients[client].waits = false,
            (Action::Begin, _) => {
                let batch = std::mem::take(&mut next.queue);
                self.begin(&mut next, batch, Vec::new());
            }
            (Action::Commit, Doing::Committing { batch, next: later }) => {
                self.commit(&mut next, &batch, later);
            }
            (Action::Fail, Doing::Committing { batch, next: later }) => self.fail(&mut next, batch, later),
            (Action::Answer, Doing::Answering { told, next: later }) => {
                for (attempt, verdict) in told {
                    Self::tell(&mut next, attempt, verdict);
                }
                self.go_on(&mut next, later);
            }
            (Action::Die, doing) => {
                if matches!(doing, Doing::Answering { .. }) {
                    next.happened = Happened::DiedBeforeAnswer;
                }
                next.queue.clear();
                next.own.clear();
                (next.end, next.doing) = (None, Doing::Nothing);
                // The connections of all who wait break.
                for told in &mut next.clients {
                    told.waits = false;
                }
            }
            _ => return None,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NUMBERED, |model: &Self, state: &State| {
                (0..).zip(&state.file.stored).all(|(end, client)| model.wanted[*client].expects == end)
            }),
            Property::always(ONCE, Self::stores_once),
            Property::always(ACKNOWLEDGED, Self::keeps_what_is_acknowledged),
            Property::always(REFUSED, Self::does_not_store_what_is_refused),
            Property::always(REASON, Self::has_reasons),
            Property::sometimes(REPEATED, |_, state: &State| {
                let is_repeat =
                    |told: &Told| matches!(told.verdict, Some(Verdict::Stored { is_repeat: true, .. }));
                state.clients.iter().any(is_repeat)
            }),
            Property::sometimes(TOGETHER, |_, state: &State| state.happened == Happened::Together),
            Property::sometimes(DIED_BEFORE_ANSWER, |_, state: &State| {
                state.happened == Happened::DiedBeforeAnswer
            }),
        ]
    }
}

#[test]
fn what_waits_together_is_stored_once_and_answered_after_the_commit() {
    holds(Writer::new(&[FIRST, RIVAL, NEXT]), 38_000);
    if is_large() {
        holds(Writer { attempts: 3, ..Writer::new(&[FIRST, RIVAL, NEXT, NEXT_WITH_SAME_KEY]) }, 1_000);
    }
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    for (mutation, wanted, property) in [
        (M::KeysOfTheBatchAreNotSeen, [FIRST, NEXT_WITH_SAME_KEY], ONCE),
        (M::KeyDiesWithTheProcess, [FIRST, RIVAL], REFUSED),
        (M::BodyIsNotCompared, [FIRST, OTHER_BODY], ACKNOWLEDGED),
        (M::EndsOutliveAFailure, [FIRST, RIVAL], REASON),
        (M::RefusalLeavesBeforeTheCommit, [FIRST, RIVAL], REASON),
        (M::AnswerLeavesBeforeTheCommit, [FIRST, RIVAL], ACKNOWLEDGED),
    ] {
        is_found(Writer { mutation: Some(mutation), ..Writer::new(&wanted) }, property);
    }
}
