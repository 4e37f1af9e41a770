//! What tables say of a log that is moved from one to the other ([`migrate`](super::migrate)).

use crate::Error;

/// In the old table, of the item that names the log and of the counter: the new table.
pub(super) const MOVED_TO: &str = "moved_to";
/// In the new table, of the item that will be the counter: the old table.
pub(super) const FROM: &str = "from_table";

/// The error of those who want to use the old table.
pub(super) fn moved(to: &str) -> Error {
    Error::InvalidRequest(format!(
        "the log was moved to the table {to:?}: use that one. If the migration has not come to its end, `ees dynamodb \
         migrate OLD {to}` goes on with it, and with --cancel gives the old table back"
    ))
}

/// The error of those who want to use the new table before it is complete.
pub(super) fn coming(from: &str) -> Error {
    Error::InvalidRequest(format!(
        "the log of the table {from:?} is being moved here, and is not complete; run `ees dynamodb migrate {from} NEW` to \
         its end"
    ))
}
