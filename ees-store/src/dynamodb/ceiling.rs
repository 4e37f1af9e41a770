//! How much a table takes in a second where it can't be split: the order, and the list of a type.
//!
//! Computed from DynamoDB's limits, as [`cost`](super::cost()) is from its prices.

use std::ops::RangeInclusive;

use super::cost::{MOVED_UNITS, counter_entry, item_bytes, write_units};
use super::place::STRIPES;
use super::plan::{BATCH_BYTES_MAX, BATCH_MAX};
use super::table_format::TableFormat;

/// The write units that a partition takes in a second. Splitting it does not help where keys ascend: all writes go to
/// the newest part.
const PARTITION_UNITS: u64 = 1_000;
/// How many transactions on the counter fit into a second, one after the other: of 30 ms, and of 15.
const TRANSACTIONS: RangeInclusive<u64> = 33..=66;

/// How many changesets a table takes in a second at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ceiling {
    /// The workload.
    pub what: &'static str,
    /// How many changesets a second, at most: the lower one of the other two, with slow transactions.
    pub per_second: u64,
    /// How many the newest partitions of the index take.
    pub index_per_second: u64,
    /// How many the counter takes, with transactions of 30 to 15 milliseconds; `None` where it is not asked.
    pub counter_per_second: Option<RangeInclusive<u64>>,
}

/// Returns the ceilings for changesets of this many bytes of events and metadata, in a table of this format.
///
/// Two things limit how many places in the order are given out. The index: a partition takes 1,000 write units a
/// second, which is 1 MB. The newest page is in one partition, and in a table of [`TableFormat::V3`] in eight, if
/// DynamoDB has spread them. And the counter, which allows one transaction at a time.
///
/// ```
/// use ees_store::dynamodb::{TableFormat, ceilings};
///
/// let batches = |format| {
///     let ceilings = ceilings(4 * 1024 - 220, format);
///     ceilings.into_iter().find(|it| it.what == "places in the order, in full batches").unwrap()
/// };
/// let (new, earlier) = (batches(TableFormat::V3), batches(TableFormat::V2));
/// assert_eq!((new.index_per_second, new.counter_per_second), (2_000, Some(3_267..=6_534)));
/// assert_eq!((new.per_second, earlier.per_second), (2_000, 248));
/// ```
pub fn ceilings(bytes: u64, format: TableFormat) -> Vec<Ceiling> {
    let item = item_bytes(bytes);
    let written = write_units(item);
    let full = (BATCH_BYTES_MAX as u64 / item).clamp(1, BATCH_MAX as u64);
    let partitions = if format.has_stripes() { STRIPES } else { 1 };
    let places = |what, batch: u64| {
        let units = batch * written + counter_entry(format);
        let index_per_second = (partitions * PARTITION_UNITS * batch / units).max(1);
        let counter = TRANSACTIONS.start() * batch..=TRANSACTIONS.end() * batch;
        let per_second = index_per_second.min(*counter.start());
        Ceiling { what, per_second, index_per_second, counter_per_second: Some(counter) }
    };
    let of_a_type = PARTITION_UNITS / MOVED_UNITS;
    vec![
        places("places in the order, in full batches", full),
        places("places in the order, one by one", 1),
        Ceiling {
            what: "commits to streams of one type",
            per_second: of_a_type,
            index_per_second: of_a_type,
            counter_per_second: None,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the index: batched, one by one, of one type.
    fn of(bytes: u64, format: TableFormat) -> Vec<u64> {
        ceilings(bytes, format).into_iter().map(|it| it.index_per_second).collect()
    }

    #[test]
    fn each_partition_of_the_newest_page_takes_a_megabyte_a_second() {
        for (bytes, current, earlier) in [
            (500, [8_000, 8_000, 500], [980, 333, 500]),
            (4 * 1024 - 220, [2_000, 2_000, 500], [248, 166, 500]),
            (10 * 1024 - 220, [800, 800, 500], [99, 83, 500]),
        ] {
            assert_eq!(of(bytes, TableFormat::V3), current, "{bytes}");
            assert_eq!(of(bytes, TableFormat::V2), earlier, "{bytes}");
        }
    }

    #[test]
    fn what_the_counter_takes_binds_where_it_is_less() {
        for (bytes, format, batched) in [
            (500, TableFormat::V3, 33 * 99),
            (500, TableFormat::V2, 980),
            (4 * 1024 - 220, TableFormat::V3, 2_000),
        ] {
            let bound: Vec<_> = ceilings(bytes, format).into_iter().map(|it| it.per_second).collect();
            assert_eq!(bound, [batched, 33, 500], "{bytes}");
        }
    }

    #[test]
    fn the_largest_changesets_get_their_place_too() {
        assert_eq!(of(395_000, TableFormat::V3)[..2], [20, 20]);
        assert_eq!(of(395_000, TableFormat::V2)[..2], [2, 2]);
    }
}
