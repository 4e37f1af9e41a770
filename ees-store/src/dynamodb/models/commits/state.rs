//! What is stored, and what everybody is at.

pub(super) type Client = usize;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) stored: Vec<Stored>,
    /// By client, each of its attempts.
    pub(super) attempts: Vec<Vec<Attempt>>,
    pub(super) told: Vec<Option<Verdict>>,
    pub(super) is_late: bool,
    pub(super) is_repeat: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stored {
    pub(super) client: Client,
    pub(super) attempt: usize,
    pub(super) is_late: bool,
}

/// What an attempt is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    /// It reads where the stream ends.
    ReadingEnd,
    LookingUp {
        end: u64,
    },
    Writing {
        end: u64,
    },
    /// Another changeset is in its way.
    LookingUpAgain,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Stored(u64),
    Conflict,
    AheadOfStream,
    KeyReused,
}
