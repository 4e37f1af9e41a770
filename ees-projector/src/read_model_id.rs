//! Which read model of a projection, and which partition of it.

use std::fmt;
use std::sync::Arc;

use crate::partition::Partition;

/// The place of a read model: a projection has one that serves, and may have two more, each with a row and tables of
/// its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The read model that serves.
    Live,
    /// The standby: it is being built side by side, or was live before and follows for a rollback.
    Standby,
    /// Built for a comparison, then thrown away.
    Scratch,
}

impl Slot {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Standby => "__standby",
            Self::Scratch => "__scratch",
        }
    }
}

/// Identifies a read model: its projection, its slot, and, for the row of one partition, the partition's number.
///
/// A database keeps two things under it: the tables and all that is parked under [`name`](Self::name), which every
/// partition shares, and the row with the position under [`key`](Self::key).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadModelId {
    slot: Slot,
    projection_bytes: usize,
    name_bytes: usize,
    /// The projection, the slot's suffix, and `/` with the partition: the other names are prefixes of it.
    key: Arc<str>,
}

impl ReadModelId {
    /// A read model of a projection.
    pub fn new(projection: &str, slot: Slot) -> Self {
        let name = format!("{projection}{}", slot.suffix());
        Self { slot, projection_bytes: projection.len(), name_bytes: name.len(), key: name.into() }
    }

    /// The read model of a projection that serves.
    pub fn live(projection: &str) -> Self {
        Self::new(projection, Slot::Live)
    }

    /// Reads a name as operators give it: a projection's, or that of its standby with `__standby` after it.
    pub(crate) fn parse(name: &str) -> Self {
        match name.strip_suffix(Slot::Standby.suffix()) {
            Some(projection) => Self::new(projection, Slot::Standby),
            None => Self::new(name, Slot::Live),
        }
    }

    /// Whether a projection's name would be taken for another one's slot.
    pub(crate) fn is_reserved(projection: &str) -> bool {
        // `__swap` is what a database may use between two renames.
        [Slot::Standby.suffix(), Slot::Scratch.suffix(), "__swap"]
            .iter()
            .any(|suffix| projection.ends_with(suffix))
    }

    /// The same projection's read model in another slot.
    #[must_use]
    pub fn with_slot(&self, slot: Slot) -> Self {
        Self::new(self.projection(), slot)
    }

    /// One partition of this read model.
    #[must_use]
    pub fn with_partition(&self, index: u32) -> Self {
        Self { key: format!("{}/{index}", self.name()).into(), ..self.clone() }
    }

    /// This partition of this read model.
    pub(crate) fn of_partition(&self, partition: Partition) -> Self {
        self.with_partition(partition.index)
    }

    /// The projection's name.
    pub fn projection(&self) -> &str {
        &self.key[..self.projection_bytes]
    }

    /// The slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The read model's name: that of the projection, and for a slot other than the live one its suffix.
    pub fn name(&self) -> &str {
        &self.key[..self.name_bytes]
    }

    /// The name of the row with its position: [`name`](Self::name), and for a partition `/` and its number.
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
        assert!(ReadModelId::is_reserved(ReadModelId::new("orders", Slot::Scratch).name()));
    }

    #[test]
    fn partitions_have_a_row_each_and_share_the_tables() {
        let standby = ReadModelId::new("orders", Slot::Standby);
        let third = standby.with_partition(3);
        assert_eq!((third.key(), third.name()), ("orders__standby/3", "orders__standby"));
        assert_eq!(third.with_slot(Slot::Live), ReadModelId::new("orders", Slot::Live));
    }
}
