//! What a store in DynamoDB costs: calls and capacity units, by workload.
//!
//! The figures are computed from DynamoDB's billing rules, so that you can read them before there is a table.
//! Tests compare them to the calls that the store makes.

use super::plan::BATCH_MAX;

/// DynamoDB bills writes by the kilobyte and reads by four.
const WRITE_BYTES: u64 = 1024;
const READ_BYTES: u64 = 4 * 1024;
/// What a changeset takes besides its events and metadata, about.
const REST_BYTES: u64 = 220;
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

/// Returns the costs of 1,000 changesets of this many bytes of events and metadata. `whole_copies` is the
/// number of local indexes that hold whole changesets: 0 in tables that [`create_table`](super::create_table)
/// made.
///
/// ```
/// let costs = ees_store::dynamodb::cost(500, 0);
/// let indexing = costs.iter().find(|cost| cost.what == "index, in batches of 99").unwrap();
/// assert!(indexing.calls <= 100);
/// ```
pub fn cost(bytes: u64, whole_copies: u64) -> Vec<Cost> {
    let item = item_bytes(bytes);
    let (written, read) = (write_units(item), item.div_ceil(READ_BYTES));
    let local = whole_copies * written + (2 - whole_copies.min(2));
    let batches = 1_000_u64.div_ceil(BATCH_MAX as u64);
    // A change of an entry whose key changes is two writes.
    let counter = 2 + 2;
    // An entry that holds whole changesets holds the new attributes too.
    let indexed = 2 * written + written + whole_copies * written;
    let pages = (1_000 * item).div_ceil(ANSWER_BYTES).max(1);
    vec![
        Cost { what: "begin a stream", calls: 1_000, read_units: 0, write_units: 1_000 * (written + local) },
        Cost {
            what: "append to a stream",
            calls: 2_000,
            read_units: 1_000 * read,
            write_units: 1_000 * (written + local),
        },
        Cost {
            what: "append with an idempotency key",
            calls: 2_000,
            read_units: 1_000 * read,
            // The changeset and the marker, twice each, and the marker's expiry, which is free.
            write_units: 1_000 * (2 * written + 2 * local + 2),
        },
        Cost {
            what: "append to a typed stream",
            calls: 2_000,
            read_units: 1_000 * read,
            write_units: 1_000 * (2 * written + 2 * local + 2 + 2),
        },
        Cost {
            what: "index, in batches of 99",
            // The transaction, and a look at the predecessors of streams that are not known.
            calls: 2 * batches,
            read_units: 1_000 * read,
            write_units: 1_000 * indexed + batches * counter,
        },
        Cost {
            what: "index, one by one",
            calls: 2_000,
            read_units: 1_000 * read,
            write_units: 1_000 * (indexed + counter),
        },
        Cost {
            what: "read the log, 1,000 at a time",
            calls: 1 + pages + 1,
            read_units: (1_000 * item).div_ceil(2 * READ_BYTES) + 1,
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

    fn of(what: &str, bytes: u64, whole_copies: u64) -> Cost {
        cost(bytes, whole_copies).into_iter().find(|cost| cost.what == what).unwrap()
    }

    #[test]
    fn a_small_changeset_costs_little() {
        assert_eq!(of("begin a stream", 500, 0).write_units, 3_000);
        assert_eq!(of("index, in batches of 99", 500, 0).write_units, 3_044);
        assert_eq!(of("read the log, 1,000 at a time", 500, 0).read_units, 89);
    }

    #[test]
    fn whole_copies_are_paid_for() {
        let (ours, theirs) = (of("append to a stream", 10_000, 0), of("append to a stream", 10_000, 2));
        assert_eq!((ours.write_units, theirs.write_units), (12_000, 30_000));
    }
}
