//! The form of a table. Its local indexes are fixed when it is created, and so the form is.
//!
//! What differs between the forms is decided by this type alone: where idempotency keys are kept (`keys`), how
//! the counter is spelled (`counter`), what it costs (`cost`).

/// The form of a table: how it was created. It decides what a commit costs, and can't be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// As [`create_table`](super::create_table) makes it: local indexes over the last event and the idempotency
    /// key, with keys only. A commit with a key is one plain write. The counter is not in the global index.
    #[default]
    Current,
    /// As `create_table` made it before: local indexes over the first and the last event, with keys only. An
    /// idempotency key is an item of its own, written with the changeset in a transaction. The counter is in the
    /// global index too.
    Earlier,
    /// As another system makes it: as `Earlier`, but the local indexes hold whole changesets.
    WholeCopies,
}

impl Form {
    /// Whether no other program writes to such a table than versions that know this form: those before it, and other
    /// systems, don't open a table without an index over the first event.
    pub(super) fn is_of_this_version(self) -> bool {
        self == Self::Current
    }

    /// How many local indexes hold whole changesets.
    pub(super) fn whole_copies(self) -> u64 {
        match self {
            Self::Current | Self::Earlier => 0,
            Self::WholeCopies => 2,
        }
    }
}
