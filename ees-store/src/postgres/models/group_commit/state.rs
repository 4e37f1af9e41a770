//! What is stored, and what everybody is at.

pub(super) type Client = usize;

/// An attempt of a client.
pub(super) type Attempt = (Client, usize);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// By checkpoint, whose commit it is.
    pub(super) log: Vec<Client>,
    /// By checkpoint, whether its key is kept.
    pub(super) has_key: Vec<bool>,
    pub(super) processes: Vec<Process>,
    pub(super) late_calls: Vec<Call>,
    pub(super) clients: Vec<Told>,
    /// Something was forgotten: the keys promise nothing any more.
    pub(super) has_forgotten: bool,
    pub(super) happened: Happened,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Happened {
    #[default]
    Nothing,
    Repeat,
    LateCall,
    HeldUp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) queue: Vec<Attempt>,
    pub(super) call: Option<Call>,
    /// What the database has answered to it.
    pub(super) answer: Option<Answered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) batch: Vec<Attempt>,
    /// What was read when it was formed: the ends of streams and the keys (with mutations only).
    pub(super) seen: Vec<Client>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answered {
    pub(super) first: u64,
    pub(super) appended: u64,
    pub(super) met: Vec<bool>,
    /// By run, the last changeset.
    pub(super) ends: Vec<u64>,
    /// By job, where the changeset with its key is, and whether that has the same body.
    pub(super) repeats: Vec<(usize, u64, bool)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Told {
    pub(super) attempts: usize,
    /// It still waits for its last attempt.
    pub(super) waits: bool,
    pub(super) verdict: Option<Verdict>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Stored {
        checkpoint: u64,
        changeset: u64,
    },
    Conflict,
    AheadOfStream,
    KeyReused,
    /// It may be stored, or not.
    Unknown,
}

impl State {
    pub(super) fn send(&mut self, client: Client, process: usize) {
        let told = &mut self.clients[client];
        told.attempts += 1;
        told.waits = true;
        self.processes[process].queue.push((client, told.attempts));
    }

    pub(super) fn has_told(&self, verdict: &Verdict) -> bool {
        self.clients.iter().any(|told| told.verdict.as_ref() == Some(verdict))
    }
}
