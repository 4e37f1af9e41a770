//! Which of a projection's read models.

/// A projection has a read model that is read, and may have another beside it, with a row and tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The one that is read.
    Live,
    /// The one beside it: it is being built, or was live before and follows for a rollback.
    Standby,
    /// One that is built to be compared, and thrown away.
    Scratch,
}

impl Slot {
    pub(crate) const STANDBY: &str = "__standby";
    const SCRATCH: &str = "__scratch";

    /// The name under which the database keeps it.
    pub(crate) fn name_of(self, projection: &str) -> String {
        match self {
            Self::Live => projection.to_owned(),
            Self::Standby => format!("{projection}{}", Self::STANDBY),
            Self::Scratch => format!("{projection}{}", Self::SCRATCH),
        }
    }
}
