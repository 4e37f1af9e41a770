//! Group commit on PostgreSQL: processes that share a database, and clients that repeat what they got no answer to.
//!
//! **What is modelled.** Clients send commits, with a key or without one, to any process. A client may hear nothing: then
//! it sends the same again, to the same process or another one, while the first attempt goes on. Or all commits are those of
//! one caller (`in_order`), who sends them together, and the first of them alone before. A process takes what
//! waits into a batch and sends it to the database. The call is carried out at one moment, under the log's lock, or not
//! at all. The process may lose the connection before or after that, or while the call is still on its way, so that it is
//! carried out later. A process may die at any time, with all that waits in it. Keys are forgotten at any time, if that
//! is switched on.
//!
//! **What is the product's own.** Which commits go together, and in which runs (`Batch::form`), what each is told
//! (`verdicts`, and through it `decide`), and what may be sent again (`Fate::lets_repeat`).
//!
//! **What is left out.** The function in the database is written down here once more (`GroupCommit::append`), as it is
//! SQL. Each commit has one event. Typed streams, and limits of size.
//!
//! **What is promised.** See the properties below.

mod database;
mod mutation;
mod process;
mod properties;
mod state;
mod tests;

use std::fmt;
use std::sync::Arc;

use stateright::{Model, Property};

use crate::Commit;
use crate::models::Wanted;
use crate::postgres::error::Fate;
use mutation::Mutation;
use state::{Client, Happened, Process, State, Told};

#[derive(Clone)]
struct GroupCommit {
    /// By client.
    wanted: Vec<Wanted>,
    commits: Arc<Vec<(Commit, Option<[u8; 32]>)>>,
    processes: usize,
    /// Attempts of each client, at most.
    attempts: usize,
    /// Calls that nobody waits for any more, and may be carried out, at most.
    late_calls: usize,
    processes_die: bool,
    keys_are_forgotten: bool,
    /// One caller sends all commits, and is promised that they are stored in their order.
    in_order: bool,
    mutation: Option<Mutation>,
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, processes, attempts, late_calls, in_order, mutation, .. } = self;
        let (die, forget) = (self.processes_die, self.keys_are_forgotten);
        write!(
            f,
            "{attempts} attempts of each of {wanted:?} in {processes} processes (die: {die}) with {late_calls} late calls, \
             in order: {in_order}, keys are forgotten: {forget}, {mutation:?}"
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    Send {
        client: Client,
        process: usize,
    },
    /// One caller sends what has no verdict.
    SendAll(usize),
    /// The client hears nothing, and waits no more.
    LoseAnswer(Client),
    FormBatch(usize),
    /// The database carries the call out.
    CarryOut(usize),
    Settle(usize),
    /// Nothing was stored: a lock was not given in time.
    Fail(usize),
    LoseConnection {
        process: usize,
        is_on_its_way: bool,
    },
    CarryOutLate(usize),
    Die(usize),
    Forget(usize),
}

impl GroupCommit {
    fn new(wanted: &[Wanted]) -> Self {
        let commit = |wanted: &Wanted| {
            let commit = wanted.commit();
            let digest = commit.idempotency_key.as_ref().map(|key| key.digest(&commit.stream_id));
            (commit, digest)
        };
        Self {
            wanted: wanted.to_vec(),
            commits: Arc::new(wanted.iter().map(commit).collect()),
            processes: 2,
            attempts: 2,
            late_calls: 0,
            processes_die: false,
            keys_are_forgotten: false,
            in_order: false,
            mutation: None,
        }
    }

    fn may_send(&self, state: &State, client: Client) -> bool {
        let told = &state.clients[client];
        let attempts = if self.wanted[client].key.is_some() { self.attempts } else { 1 };
        !told.waits && told.verdict.is_none() && told.attempts < attempts
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

impl Model for GroupCommit {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            log: Vec::new(),
            has_key: Vec::new(),
            processes: vec![Process::default(); self.processes],
            late_calls: Vec::new(),
            clients: vec![Told::default(); self.wanted.len()],
            has_forgotten: false,
            happened: Happened::Nothing,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, told) in state.clients.iter().enumerate() {
            if told.waits {
                actions.push(Action::LoseAnswer(client));
            } else if self.may_send(state, client) && (client == 0 || !self.in_order) {
                actions.extend((0..self.processes).map(|process| Action::Send { client, process }));
            }
        }
        if self.in_order && !state.clients.iter().any(|told| told.waits) {
            actions.extend((0..self.processes).map(Action::SendAll));
        }
        for process in 0..self.processes {
            actions.extend([Action::FormBatch(process), Action::CarryOut(process), Action::Settle(process)]);
            actions.push(Action::Fail(process));
            for is_on_its_way in [false, true] {
                actions.push(Action::LoseConnection { process, is_on_its_way });
            }
            if self.processes_die {
                actions.push(Action::Die(process));
            }
        }
        actions.extend((0..state.late_calls.len()).map(Action::CarryOutLate));
        if self.keys_are_forgotten {
            actions.extend((0..state.log.len()).filter(|at| state.has_key[*at]).map(Action::Forget));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.happened = Happened::Nothing;
        match action {
            Action::Send { client, process } => next.send(client, process),
            Action::SendAll(process) => {
                let clients = (0..self.wanted.len()).filter(|client| self.may_send(state, *client));
                clients.for_each(|client| next.send(client, process));
            }
            Action::LoseAnswer(client) => next.clients[client].waits = false,
            Action::FormBatch(process) => self.form_batch(&mut next, process)?,
            Action::CarryOut(process) => self.carry_out(&mut next, process)?,
            Action::Settle(process) => self.settle(&mut next, process)?,
            Action::Fail(process) => {
                if next.processes[process].answer.is_some() {
                    return None;
                }
                self.fail(&mut next, process, Fate::NotYet)?;
            }
            Action::LoseConnection { process, is_on_its_way } => {
                self.lose_connection(&mut next, process, is_on_its_way)?;
            }
            Action::CarryOutLate(at) => self.carry_out_late(&mut next, at),
            Action::Die(process) => {
                if next.processes[process] == Process::default() {
                    return None;
                }
                let _ = self.leave_late(&mut next, process);
                let gone = std::mem::take(&mut next.processes[process]);
                // The connections of the clients that wait there break.
                for attempt in gone.queue.into_iter().chain(gone.call.into_iter().flat_map(|call| call.batch))
                {
                    let told = &mut next.clients[attempt.0];
                    told.waits &= told.attempts != attempt.1;
                }
            }
            Action::Forget(at) => {
                next.has_key[at] = false;
                next.has_forgotten = true;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.all_properties()
    }
}
