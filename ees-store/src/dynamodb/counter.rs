//! The counter: one item that says up to where checkpoints have been assigned.

use aws_sdk_dynamodb::types::{AttributeValue, Put, Update};

use super::error::{failed, is_read_contended, unbuilt};
use super::item::{self, Item, PAGE, PAGE_ITEM, PAGE_LENGTH, number, page_of, text};
use super::table::{Table, names, values};
use crate::{Checkpoint, Result};

/// Its partition. Having a page and a place there it shows up in the global index too, beside the newest
/// changeset.
pub(super) const STREAM_ID: &str = "!!!RESERVED:GLOBAL-COUNTER!!!";
const PREV_STREAM_ID: &str = "prev_stream_id";
/// The systems that this table is shared with read the one and write the other.
const PREV_CHANGESET_ID: [&str; 2] = ["prev_changeset_id", "prev_stream_changeset_id"];

/// The checkpoint after the last one that was assigned, and how the counter spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    page: u64,
    /// -1 before the first place.
    page_item: i64,
}

impl Counter {
    /// No checkpoint was assigned yet.
    pub(super) const START: Self = Self { page: 0, page_item: -1 };

    pub(super) fn of(item: &Item) -> Result<Self> {
        let page = item::to_number(item, PAGE)?;
        // Not a place, and so not read as one.
        let page_item =
            item.get(PAGE_ITEM).and_then(|value| value.as_n().ok()).and_then(|digits| digits.parse().ok());
        Ok(Self { page, page_item: page_item.unwrap_or(-1) })
    }

    /// As an earlier item says it, for a log that ends at this checkpoint.
    pub(super) fn at(next: Checkpoint) -> Self {
        let Some(last) = next.get().checked_sub(1) else { return Self::START };
        let (page, page_item) = page_of(Checkpoint::new(last));
        Self { page, page_item: i64::try_from(page_item).unwrap_or(-1) }
    }

    /// The next checkpoint to assign: where the log ends.
    pub(super) fn next(self) -> Checkpoint {
        let given = u64::try_from(self.page_item + 1).unwrap_or(0);
        Checkpoint::new(self.page.saturating_mul(PAGE_LENGTH).saturating_add(given))
    }

    pub(super) fn item(self) -> Item {
        let mut item = key();
        item.insert(PAGE.to_owned(), number(self.page));
        item.insert(PAGE_ITEM.to_owned(), self.page_item_value());
        item
    }

    /// Sets it to what `counter` says, unless it has moved from `before`.
    pub(super) fn put(table: &Table, before: Option<Self>, counter: Item) -> Result<Put> {
        let put = Put::builder().table_name(&*table.name).set_item(Some(counter));
        let put = match before {
            None => put
                .condition_expression("attribute_not_exists(#p)")
                .set_expression_attribute_names(names([("#p", PAGE)])),
            Some(before) => put
                .condition_expression("#p = :p AND #i = :i")
                .set_expression_attribute_names(names([("#p", PAGE), ("#i", PAGE_ITEM)]))
                .set_expression_attribute_values(values([
                    (":p", number(before.page)),
                    (":i", before.page_item_value()),
                ])),
        };
        put.build().map_err(unbuilt)
    }

    /// Moves it from here to the end of what `last` is the last of, if nobody else has moved it.
    pub(super) fn advance(self, table: &Table, to: Checkpoint, last: (&str, u64)) -> Result<Update> {
        let to = Self::at(to);
        let changes = "SET #p = :p, #i = :i, #s = :s, #c = :c, #d = :c";
        let update =
            Update::builder().table_name(&*table.name).set_key(Some(key())).update_expression(changes);
        let update = update.condition_expression("#p = :from_p AND #i = :from_i");
        let update = update.set_expression_attribute_names(names([
            ("#p", PAGE),
            ("#i", PAGE_ITEM),
            ("#s", PREV_STREAM_ID),
            ("#c", PREV_CHANGESET_ID[0]),
            ("#d", PREV_CHANGESET_ID[1]),
        ]));
        let update = update.set_expression_attribute_values(values([
            (":p", number(to.page)),
            (":i", to.page_item_value()),
            (":s", text(last.0)),
            (":c", number(last.1)),
            (":from_p", number(self.page)),
            (":from_i", self.page_item_value()),
        ]));
        update.build().map_err(unbuilt)
    }

    fn page_item_value(self) -> AttributeValue {
        AttributeValue::N(self.page_item.to_string())
    }
}

/// What it says of the changeset before under either name, it says under both.
pub(super) fn complete(item: &mut Item) {
    let known = PREV_CHANGESET_ID.iter().rev().find_map(|name| item.get(*name).cloned());
    for name in PREV_CHANGESET_ID {
        if let Some(known) = &known {
            item.insert(name.to_owned(), known.clone());
        }
    }
}

pub(super) fn key() -> Item {
    item::key(STREAM_ID, 0)
}

/// The counter as it is at this moment.
pub(super) async fn look(table: &Table) -> Result<Counter> {
    let found = table.get(key()).await?;
    found.map_or(Ok(Counter::START), |item| Counter::of(&item))
}

/// The counter as it is at this moment; nothing if an indexer is about to move it.
pub(super) async fn look_unless_moving(table: &Table) -> Result<Option<Counter>> {
    let key = [key()];
    match table.call(|| table.try_get_settled(&key)).await {
        Ok(found) => {
            found.into_iter().next().flatten().map_or(Ok(Counter::START), |item| Counter::of(&item)).map(Some)
        }
        Err(error) if is_read_contended(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_says_where_the_log_ends() {
        assert_eq!(Counter::START.next(), Checkpoint::START);
        for (next, page, page_item) in
            [(0, 0, -1), (1, 0, 0), (1_000, 0, 999), (1_001, 1, 0), (2_500, 2, 499)]
        {
            let counter = Counter { page, page_item };
            assert_eq!(counter.next(), Checkpoint::new(next));
            assert_eq!(Counter::at(Checkpoint::new(next)), counter);
            assert_eq!(Counter::of(&counter.item()).unwrap(), counter);
        }
    }
}
