//! What a store in DynamoDB costs: calls and capacity units, by workload.
//!
//! The figures are computed from DynamoDB's billing rules, so that you can read them before there is a table.
//! Tests compare them to the calls that the store makes.

use super::place::STRIPES;
use super::plan::BATCH_MAX;
use super::table_format::TableFormat;

/// DynamoDB bills writes by the kilobyte and reads by four.
const WRITE_BYTES: u64 = 1024;
const READ_BYTES: u64 = 4 * 1024;
/// What a changeset takes besides its events and metadata, about.
const REST_BYTES: u64 = 220;
/// What an idempotency key adds to it, where it is in the changeset.
const KEY_BYTES: u64 = 67;
/// An entry of an index whose key changes is deleted and written.
pub(super) const MOVED_UNITS: u64 = 2;
/// An answer of DynamoDB holds no more.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// The cost of 1,000 changesets.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The workload.
    pub what: &'static str,
    /// The number of calls to DynamoDB.
    pub calls: u64,
    /// Read capacity units: half a unit for 4 KB, or one unit if the read is consistent.
    pub read_units: u64,
    /// Write capacity units, indexes included.
    pub write_units: u64,
}

/// Returns the costs of 1,000 changesets of this many bytes of events and metadata, in a table of this format.
///
/// ```
/// use ees_store::dynamodb::{TableFormat, cost};
///
/// let with_a_key = |format| {
///     cost(500, format).into_iter().find(|cost| cost.what == "append with an idempotency key").unwrap().write_units
/// };
/// assert_eq!((with_a_key(TableFormat::V3), with_a_key(TableFormat::V2)), (3_000, 8_000));
/// ```
pub fn cost(bytes: u64, format: TableFormat) -> Vec<Cost> {
    let item = item_bytes(bytes);
    let (written, read) = (write_units(item), item.div_ceil(READ_BYTES));
    let keyed = write_units(item + KEY_BYTES);
    let whole_copies = format.whole_copies();
    // Its entries in local indexes: in that over keys is only what has one.
    let local = match format {
        TableFormat::V3 => 1,
        TableFormat::V2 => 2,
        TableFormat::V1 => whole_copies * written,
    };
    let with_a_key = match format {
        // One more entry, and one more read before. It finds nothing, and is billed as 4 KB.
        TableFormat::V3 => (3, read + 1, keyed + local + 1),
        // The changeset and the item of the key, twice each. Its expiry is free.
        TableFormat::V2 | TableFormat::V1 => (2, read, 2 * (written + local) + 2),
    };
    let batches = 1_000_u64.div_ceil(BATCH_MAX as u64);
    let counter = 2 + counter_entry(format);
    // An entry that holds whole changesets holds the new attributes too.
    let indexed = 2 * written + written + whole_copies * written;
    let partitions = if format.has_stripes() { STRIPES } else { 1 };
    let pages = (1_000 * item).div_ceil(ANSWER_BYTES).max(1);
    let thousand = |what, (calls, read_units, write_units): (u64, u64, u64)| Cost {
        what,
        calls: 1_000 * calls,
        read_units: 1_000 * read_units,
        write_units: 1_000 * write_units,
    };
    vec![
        thousand("begin a stream", (1, 0, written + local)),
        thousand("append to a stream", (2, read, written + local)),
        thousand("append with an idempotency key", with_a_key),
        // A transaction: the changeset, and the stream's head, whose entry in the index moves.
        thousand("append to a typed stream", (2, read, 2 * (written + local) + 2 + MOVED_UNITS)),
        Cost {
            what: "index, in batches of 99",
            // The transaction, and a look at the predecessors of streams that are not known.
            calls: 2 * batches,
            read_units: 1_000 * read,
            write_units: 1_000 * indexed + batches * counter,
        },
        thousand("index, one by one", (2, read, indexed + counter)),
        Cost {
            what: "read the log, 1,000 at a time",
            // The counter, and a page of the index, in as many queries as it has partitions.
            calls: 1 + (pages * partitions).max(pages + 1),
            read_units: (partitions * (1_000 * item / partitions).div_ceil(READ_BYTES)).div_ceil(2) + 1,
            write_units: 0,
        },
        Cost {
            what: "sweep for what was missed",
            calls: pages,
            read_units: (1_000 * item).div_ceil(2 * READ_BYTES),
            write_units: 0,
        },
    ]
}

/// What the counter's entry in the global index costs when it moves.
pub(super) fn counter_entry(format: TableFormat) -> u64 {
    match format {
        TableFormat::V3 => 0,
        TableFormat::V2 | TableFormat::V1 => MOVED_UNITS,
    }
}

/// The size of the item of a changeset with this many bytes of events and metadata, about.
pub(super) fn item_bytes(bytes: u64) -> u64 {
    bytes + REST_BYTES
}

/// The units of a plain write of an item.
pub(super) fn write_units(item_bytes: u64) -> u64 {
    item_bytes.div_ceil(WRITE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(what: &str, bytes: u64, format: TableFormat) -> Cost {
        cost(bytes, format).into_iter().find(|cost| cost.what == what).unwrap()
    }

    /// With the read of it, and two read units as dear as they are: a fifth of a write unit each, or a little less.
    #[test]
    fn a_keyed_commit_with_its_place_and_its_read_takes_less_than_seven_units_in_bursts() {
        let all =
            ["append with an idempotency key", "index, in batches of 99", "read the log, 1,000 at a time"];
        let units = |format| {
            let costs = all.map(|what| of(what, 500, format));
            costs.iter().map(|cost| cost.write_units * 5 + cost.read_units).sum::<u64>() as f64 / 5_000.0
        };
        assert!(units(TableFormat::V3) < 7.0, "{}", units(TableFormat::V3));
        assert!(units(TableFormat::V2) > 11.0, "{}", units(TableFormat::V2));
    }

    #[test]
    fn a_small_changeset_costs_little() {
        for (what, current, earlier) in [
            ("begin a stream", 2_000, 3_000),
            ("append to a stream", 2_000, 3_000),
            ("append with an idempotency key", 3_000, 8_000),
            ("append to a typed stream", 8_000, 10_000),
            ("index, in batches of 99", 3_022, 3_044),
            ("index, one by one", 5_000, 7_000),
        ] {
            let of = |format| of(what, 500, format).write_units;
            assert_eq!((of(TableFormat::V3), of(TableFormat::V2)), (current, earlier), "{what}");
        }
        assert_eq!(of("read the log, 1,000 at a time", 500, TableFormat::V3).read_units, 89);
    }

    #[test]
    fn whole_copies_are_paid_for() {
        let of = |format| of("append to a stream", 10_000, format).write_units;
        assert_eq!((of(TableFormat::V3), of(TableFormat::V1)), (11_000, 30_000));
    }
}
