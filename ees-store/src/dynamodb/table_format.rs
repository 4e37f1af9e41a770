//! The format of a table. Its local indexes are fixed when it is created, and so the format is.
//!
//! What differs between the formats is decided by this type alone: where idempotency keys are kept (`keys`), how
//! the counter is spelled (`counter`), which partitions of the global index have a page (`place`), what it costs
//! (`cost`), and how much it takes (`ceiling`).

use std::fmt;

/// The format of a table, as [`create_table`](super::create_table) or another system has made it. It decides what a
/// commit costs, and can't be changed. It is shown as its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFormat {
    /// That of new tables: local indexes over the last event and the idempotency key, with keys only. A commit with a
    /// key is one plain write. The counter is not in the global index, whose newest page is in eight partitions.
    #[default]
    V3,
    /// That of tables which earlier versions of this crate have made: local indexes over the first and the last event,
    /// with keys only. An idempotency key is an item of its own, written with the changeset in a transaction. The
    /// counter is in the global index too.
    V2,
    /// That of another system: as `V2`, but the local indexes hold whole changesets.
    V1,
}

impl TableFormat {
    /// Whether no other program writes to such a table than versions that know this format: those before it, and other
    /// systems, don't open a table without an index over pages.
    pub(super) fn is_ours_alone(self) -> bool {
        self == Self::V3
    }

    /// How many local indexes hold whole changesets.
    pub(super) fn whole_copies(self) -> u64 {
        match self {
            Self::V3 | Self::V2 => 0,
            Self::V1 => 2,
        }
    }
}

impl fmt::Display for TableFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1",
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}
