//! How much a table takes in a second where it can't be split: the order, and the list of a type.
//!
//! Computed from DynamoDB's limits, as [`cost`](super::cost()) is from its prices.

use super::cost::{MOVED_UNITS, counter_entry, item_bytes, write_units};
use super::plan::{BATCH_BYTES_MAX, BATCH_MAX};
use super::table_format::TableFormat;

/// The write units that a partition takes in a second. Splitting it does not help where keys ascend: all writes go to
/// the newest part.
const PARTITION_UNITS: u64 = 1_000;

/// What one partition of a table's indexes takes in a second at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// The workload.
    pub what: &'static str,
    /// How many changesets a second, at most.
    pub per_second: u64,
}

/// Returns the ceilings for changesets of this many bytes of events and metadata, in a table of this format.
///
/// Those of places in the order are of the newest page of the global index, which takes 1 MB/s. The counter has a
/// ceiling too: one batch after the other, each a transaction of 15 to 30 ms. So changesets that come faster than some
/// 33 to 66 a second are placed in batches.
///
/// ```
/// use ees_store::dynamodb::{TableFormat, ceilings};
///
/// let ceilings = ceilings(4_000 - 220, TableFormat::V3);
/// let batches = ceilings.iter().find(|it| it.what == "places in the order, in full batches").unwrap();
/// assert_eq!(batches.per_second, 250);
/// ```
pub fn ceilings(bytes: u64, format: TableFormat) -> Vec<Ceiling> {
    let item = item_bytes(bytes);
    let written = write_units(item);
    let batch = (BATCH_BYTES_MAX as u64 / item).clamp(1, BATCH_MAX as u64);
    let places = |batch: u64| (PARTITION_UNITS * batch / (batch * written + counter_entry(format))).max(1);
    vec![
        Ceiling { what: "places in the order, in full batches", per_second: places(batch) },
        Ceiling { what: "places in the order, one by one", per_second: places(1) },
        Ceiling { what: "commits to streams of one type", per_second: PARTITION_UNITS / MOVED_UNITS },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batched, one by one, of one type.
    fn of(bytes: u64, format: TableFormat) -> Vec<u64> {
        ceilings(bytes, format).into_iter().map(|it| it.per_second).collect()
    }

    #[test]
    fn the_order_takes_a_megabyte_a_second() {
        for (bytes, current, earlier) in [
            (500, [1_000, 1_000, 500], [980, 333, 500]),
            (4 * 1024 - 220, [250, 250, 500], [248, 166, 500]),
            (10 * 1024 - 220, [100, 100, 500], [99, 83, 500]),
        ] {
            assert_eq!(of(bytes, TableFormat::V3), current, "{bytes}");
            assert_eq!(of(bytes, TableFormat::V2), earlier, "{bytes}");
        }
    }

    #[test]
    fn the_largest_changesets_get_their_place_too() {
        assert_eq!(of(395_000, TableFormat::V3)[..2], [2, 2]);
    }
}
