//! Reads the whole table, part after part, over several processes.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::error::failed;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID, number, text};
use super::table::Table;
use crate::Result;

/// Where a scan goes on, in the item that remembers it.
pub(super) const AT_STREAM: &str = "at_stream_id";
pub(super) const AT_CHANGESET: &str = "at_changeset_id";

/// A megabyte of the table, as it is at this moment.
pub(super) struct Part {
    pub(super) items: Vec<Item>,
    /// Where to go on, unless this was the last.
    pub(super) next: Option<Item>,
    pub(super) read_units: f64,
}

pub(super) async fn part(table: &Table, from: Option<&Item>) -> Result<Part> {
    let scan = || {
        let call = table.client.scan().table_name(&*table.name).consistent_read(true);
        let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
        call.set_exclusive_start_key(from.cloned()).send()
    };
    let answer = table.call(scan).await.map_err(failed)?;
    let read_units = answer.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(0.0);
    Ok(Part { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key, read_units })
}

/// Where an item says that a scan goes on; `None` if it is to begin at the start, or has come to its end.
pub(super) fn position(remembered: &Item) -> Option<Item> {
    let stream = item::to_text(remembered, AT_STREAM).ok()?;
    Some(item::key(stream, item::to_number(remembered, AT_CHANGESET).ok()?))
}

/// Lets an item say where a scan goes on.
pub(super) fn remember(item: &mut Item, at: Option<&Item>) -> Result<()> {
    if let Some(at) = at {
        item.insert(AT_STREAM.to_owned(), text(item::to_text(at, STREAM_ID)?));
        item.insert(AT_CHANGESET.to_owned(), number(item::to_number(at, CHANGESET_ID)?));
    }
    Ok(())
}
