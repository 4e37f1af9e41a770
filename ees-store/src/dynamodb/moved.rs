//! What tables say of a log that is moved from one to the other ([`migrate`](super::migrate)).

use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem};

use super::error::unbuilt;
use super::item::{self, Item, STREAM_ID, text};
use super::table::{Table, values};
use crate::{Error, Result};

/// In the old table, of the item that names the log and of the counter: the table to which the log was moved.
pub(super) const MOVED_TO: &str = "moved_to";

/// In the new table: which log comes, and how far it has come.
const MIGRATION: &str = "!!!RESERVED:MIGRATION!!!";
/// The old table.
pub(super) const FROM: &str = "from_table";

/// The key of the item in the new table.
pub(super) fn key() -> Item {
    item::key(MIGRATION, 0)
}

/// The error of those who want to use the old table.
pub(super) fn moved(from: &str, to: &str) -> Error {
    Error::InvalidRequest(format!(
        "the log of the table {from:?} was moved to the table {to:?}: use that one. If the migration has not come to its \
         end, `ees dynamodb migrate {from} {to}` goes on with it, and with --cancel gives the old table back"
    ))
}

/// Fails if a log comes into this table, and is not complete.
pub(super) async fn must_not_be_under_way(table: &Table) -> Result<()> {
    let Some(found) = table.get(key()).await? else { return Ok(()) };
    let (from, to) = (item::to_text(&found, FROM)?, &table.name);
    Err(Error::InvalidRequest(format!(
        "the log of the table {from:?} is being moved into the table {to:?}, which is not complete; run `ees dynamodb \
         migrate {from} {to}` to its end"
    )))
}

/// Holds in a transaction that makes a log, unless a migration into the table has begun.
pub(super) fn none_under_way(table: &Table) -> Result<TransactWriteItem> {
    absent(table, key())
}

/// Holds in a transaction if there is no such item.
pub(super) fn absent(table: &Table, key: Item) -> Result<TransactWriteItem> {
    check(table, key, "attribute_not_exists(#n)", STREAM_ID, None)
}

/// Holds in a transaction if the attribute has this value.
pub(super) fn is(table: &Table, key: Item, name: &str, value: &str) -> Result<TransactWriteItem> {
    check(table, key, "#n = :v", name, Some(value))
}

fn check(
    table: &Table,
    key: Item,
    condition: &str,
    name: &str,
    value: Option<&str>,
) -> Result<TransactWriteItem> {
    let check = ConditionCheck::builder().table_name(&*table.name).set_key(Some(key));
    let check = check.condition_expression(condition).expression_attribute_names("#n", name);
    let check = check.set_expression_attribute_values(value.and_then(|value| values([(":v", text(value))])));
    Ok(TransactWriteItem::builder().condition_check(check.build().map_err(unbuilt)?).build())
}
