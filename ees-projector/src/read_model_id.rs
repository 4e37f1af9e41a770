//! The identity of a read model: projection, slot, partition.

use std::fmt;
use std::sync::Arc;

use crate::partition::Partition;

/// The slot of a read model. A projection has one live read model and may have three more. Each has a row and
/// tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The read model that readers use.
    Live,
    /// The standby: it is being built side by side, or was live before and follows for a rollback.
    Standby,
    /// The read model that a verification builds, compares and deletes. Nobody reads it.
    Scratch,
    /// The read model that a [preview](crate::Projector::preview) builds, compares and deletes. Nobody reads it.
    Preview,
}

impl Slot {
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Standby => "__standby",
            Self::Scratch => "__scratch",
            Self::Preview => "__preview",
        }
    }
}

/// Identifies a read model: its projection, its slot, and, for the row of one partition, the partition's
/// number.
///
/// A database uses it for two things. The tables and everything that is parked have [`name`](Self::name),
/// which all partitions share. The row with the position has [`key`](Self::key).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadModelId {
    slot: Slot,
    projection_bytes: usize,
    name_bytes: usize,
    /// The projection, the slot's suffix, and `/` with the partition: the other names are prefixes of it.
    key: Arc<str>,
}

impl ReadModelId {
    /// Identifies a read model of a projection.
    pub fn new(projection: &str, slot: Slot) -> Self {
        let name = format!("{projection}{}", slot.suffix());
        Self { slot, projection_bytes: projection.len(), name_bytes: name.len(), key: name.into() }
    }

    /// Identifies the live read model of a projection.
    pub fn live(projection: &str) -> Self {
        Self::new(projection, Slot::Live)
    }

    /// Parses a name as operators write it: the projection's name, with the suffix `__standby` for the
    /// standby.
    pub(crate) fn parse(name: &str) -> Self {
        match name.strip_suffix(Slot::Standby.suffix()) {
            Some(projection) => Self::new(projection, Slot::Standby),
            None => Self::new(name, Slot::Live),
        }
    }

    /// Returns `true` if the name of a projection ends like the name of a slot.
    pub(crate) fn is_reserved(projection: &str) -> bool {
        // A database may use `__swap` between two renames.
        [Slot::Standby.suffix(), Slot::Scratch.suffix(), Slot::Preview.suffix(), "__swap"]
            .iter()
            .any(|suffix| projection.ends_with(suffix))
    }

    /// Returns the id of the same projection's read model in another slot.
    #[must_use]
    pub fn with_slot(&self, slot: Slot) -> Self {
        Self::new(self.projection(), slot)
    }

    /// Returns the id of one partition of this read model.
    #[must_use]
    pub fn with_partition(&self, index: u32) -> Self {
        Self { key: format!("{}/{index}", self.name()).into(), ..self.clone() }
    }

    /// Returns the id of this partition of this read model.
    pub(crate) fn of_partition(&self, partition: Partition) -> Self {
        self.with_partition(partition.index)
    }

    /// Returns the name of the projection.
    pub fn projection(&self) -> &str {
        &self.key[..self.projection_bytes]
    }

    /// Returns the slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Returns the name of the read model: the projection's name, with a suffix for every slot but the
    /// live one.
    pub fn name(&self) -> &str {
        &self.key[..self.name_bytes]
    }

    /// Returns the name of the row: [`name`](Self::name), and `/` with the number for a partition.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ReadModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_the_read_model_it_is_of() {
        for slot in [Slot::Live, Slot::Standby] {
            let id = ReadModelId::new("orders", slot);
            assert_eq!(ReadModelId::parse(id.name()), id);
            assert_eq!(id.projection(), "orders");
        }
        for slot in [Slot::Scratch, Slot::Preview] {
            assert!(ReadModelId::is_reserved(ReadModelId::new("orders", slot).name()));
        }
    }

    #[test]
    fn partitions_have_a_row_each_and_share_the_tables() {
        let standby = ReadModelId::new("orders", Slot::Standby);
        let third = standby.with_partition(3);
        assert_eq!((third.key(), third.name()), ("orders__standby/3", "orders__standby"));
        assert_eq!(third.with_slot(Slot::Live), ReadModelId::new("orders", Slot::Live));
    }
}
