//! The counter: one item that says up to where checkpoints have been assigned.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Put, Update};

use super::error::{failed, is_read_contended, unbuilt};
use super::item::{self, Item, number, text};
use super::moved::{FROM, MOVED_TO, coming, moved};
use super::place::{PAGE, PAGE_ITEM, PAGE_LENGTH, page_of};
use super::table::{Table, names, values};
use super::table_format::TableFormat;
use crate::{Checkpoint, Result};

/// Its partition.
pub(super) const STREAM_ID: &str = "!!!RESERVED:GLOBAL-COUNTER!!!";
const LAST_PAGE: &str = "last_page";
const LAST_PAGE_ITEM: &str = "last_page_item";
const PREV_STREAM_ID: &str = "prev_stream_id";
/// The systems that a table is shared with read the one and write the other.
const PREV_CHANGESET_ID: [&str; 2] = ["prev_changeset_id", "prev_stream_changeset_id"];

/// Where the log ended when it was moved to another table.
const NEXT: &str = "next";

/// Under which names a counter says where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// Those of a changeset's place. So it shows up in the global index too, beside the newest changeset, which is
    /// two writes in the newest page each time it moves. Earlier versions of this crate and other systems know no
    /// other spelling.
    AsPlace,
    /// Its own.
    Own,
}

impl Spelling {
    /// How a counter of a table is written that was read with this spelling. Where earlier programs may run, they
    /// must be able to read it.
    fn in_table(self, format: TableFormat) -> Self {
        if format.is_ours_alone() { Self::Own } else { self }
    }

    fn names(self) -> [&'static str; 2] {
        match self {
            Self::AsPlace => [PAGE, PAGE_ITEM],
            Self::Own => [LAST_PAGE, LAST_PAGE_ITEM],
        }
    }
}

/// The checkpoint after the last one that was assigned, and how the counter spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    page: u64,
    /// -1 before the first place.
    page_item: i64,
    spelling: Spelling,
}

impl Counter {
    /// No checkpoint was assigned yet, in a table of this format.
    pub(super) fn start(format: TableFormat) -> Self {
        Self { page: 0, page_item: -1, spelling: Spelling::AsPlace.in_table(format) }
    }

    /// What the counter's item says, if the table has one.
    pub(super) fn found(table: &Table, item: Option<&Item>) -> Result<Self> {
        item.map_or(Ok(Self::start(table.format)), Self::of)
    }

    pub(super) fn of(item: &Item) -> Result<Self> {
        if let Ok(to) = item::to_text(item, MOVED_TO) {
            return Err(moved(to));
        }
        if let Ok(from) = item::to_text(item, FROM) {
            return Err(coming(from));
        }
        let spelling = if item.contains_key(LAST_PAGE) { Spelling::Own } else { Spelling::AsPlace };
        let [page_name, page_item_name] = spelling.names();
        let page = item::to_number(item, page_name)?;
        // Not a place, and so not read as one.
        let page_item = item.get(page_item_name).and_then(|value| value.as_n().ok());
        let page_item = page_item.and_then(|digits| digits.parse().ok()).unwrap_or(-1);
        Ok(Self { page, page_item, spelling })
    }

    /// The same one, for a log that ends at this checkpoint.
    pub(super) fn at(self, next: Checkpoint) -> Self {
        let Some(last) = next.get().checked_sub(1) else { return Self { page: 0, page_item: -1, ..self } };
        let (page, page_item) = page_of(Checkpoint::new(last));
        Self { page, page_item: i64::try_from(page_item).unwrap_or(-1), ..self }
    }

    /// What it is once it was advanced to this checkpoint.
    pub(super) fn advanced(self, table: &Table, to: Checkpoint) -> Self {
        Self { spelling: self.spelling.in_table(table.format), ..self.at(to) }
    }

    /// The next checkpoint to assign: where the log ends.
    pub(super) fn next(self) -> Checkpoint {
        let given = u64::try_from(self.page_item + 1).unwrap_or(0);
        Checkpoint::new(self.page.saturating_mul(PAGE_LENGTH).saturating_add(given))
    }

    pub(super) fn item(self) -> Item {
        let mut item = key();
        let [page, page_item] = self.spelling.names();
        item.insert(page.to_owned(), number(self.page));
        item.insert(page_item.to_owned(), self.page_item_value());
        item
    }

    /// Sets it to what `counter` says, unless it has moved from `before`.
    pub(super) fn put(table: &Table, before: Option<Self>, counter: Item) -> Result<Put> {
        let put = Put::builder().table_name(&*table.name).set_item(Some(counter));
        let put = match before {
            None => put
                .condition_expression("attribute_not_exists(#s)")
                .set_expression_attribute_names(names([("#s", item::STREAM_ID)])),
            Some(before) => {
                let [page, page_item] = before.spelling.names();
                put.condition_expression("#p = :p AND #i = :i")
                    .set_expression_attribute_names(names([("#p", page), ("#i", page_item)]))
                    .set_expression_attribute_values(values([
                        (":p", number(before.page)),
                        (":i", before.page_item_value()),
                    ]))
            }
        };
        put.build().map_err(unbuilt)
    }

    /// Moves it from here to the end of what `last` is the last of, if nobody else has moved it. In a table that no
    /// earlier program opens, it leaves the global index on the way.
    pub(super) fn advance(self, table: &Table, to: Checkpoint, last: (&str, u64)) -> Result<Update> {
        let to = self.advanced(table, to);
        let mut changes = "SET #p = :p, #i = :i".to_owned();
        let [page, page_item] = to.spelling.names();
        let [from_page, from_page_item] = self.spelling.names();
        let mut names = HashMap::from([
            ("#p".to_owned(), page.to_owned()),
            ("#i".to_owned(), page_item.to_owned()),
            ("#from_p".to_owned(), from_page.to_owned()),
            ("#from_i".to_owned(), from_page_item.to_owned()),
        ]);
        let mut values = Item::from([
            (":p".to_owned(), number(to.page)),
            (":i".to_owned(), to.page_item_value()),
            (":from_p".to_owned(), number(self.page)),
            (":from_i".to_owned(), self.page_item_value()),
        ]);
        if to.spelling == Spelling::AsPlace {
            changes.push_str(", #s = :s, #c = :c, #d = :c");
            let known = [("#s", PREV_STREAM_ID), ("#c", PREV_CHANGESET_ID[0]), ("#d", PREV_CHANGESET_ID[1])];
            names.extend(known.map(|(stand_in, name)| (stand_in.to_owned(), name.to_owned())));
            values.extend([(":s".to_owned(), text(last.0)), (":c".to_owned(), number(last.1))]);
        }
        if to.spelling != self.spelling {
            changes.push_str(" REMOVE #from_p, #from_i");
        }
        let update =
            Update::builder().table_name(&*table.name).set_key(Some(key())).update_expression(changes);
        let update = update.condition_expression("#from_p = :from_p AND #from_i = :from_i");
        let update = update.set_expression_attribute_names(Some(names));
        update.set_expression_attribute_values(Some(values)).build().map_err(unbuilt)
    }

    fn page_item_value(self) -> AttributeValue {
        AttributeValue::N(self.page_item.to_string())
    }
}

/// What is left of a counter when the log is moved to another table. No indexer finds a number there that it could
/// advance.
pub(super) fn as_moved(mut counter: Item, to: &str, next: Checkpoint) -> Item {
    for name in Spelling::AsPlace.names().into_iter().chain(Spelling::Own.names()) {
        counter.remove(name);
    }
    counter.extend(key());
    counter.insert(MOVED_TO.to_owned(), text(to));
    counter.insert(NEXT.to_owned(), number(next.get()));
    counter
}

/// Where the log ended when it was moved to that table, if it was.
pub(super) fn moved_at(counter: &Item, to: &str) -> Option<Checkpoint> {
    item::to_text(counter, MOVED_TO).ok().filter(|name| *name == to)?;
    item::to_number(counter, NEXT).ok().map(Checkpoint::new)
}

/// The counter of a log that is not moved after all.
pub(super) fn back(table: &Table, mut moved: Item, next: Checkpoint) -> Item {
    moved.remove(MOVED_TO);
    moved.remove(NEXT);
    moved.extend(Counter::start(table.format).at(next).item());
    moved
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
    Counter::found(table, table.get(key()).await?.as_ref())
}

/// The counter as it is at this moment; nothing if an indexer is about to move it.
pub(super) async fn look_unless_moving(table: &Table) -> Result<Option<Counter>> {
    let key = [key()];
    match table.call(|| table.try_get_settled(&key)).await {
        Ok(found) => Counter::found(table, found.first().and_then(Option::as_ref)).map(Some),
        Err(error) if is_read_contended(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_says_where_the_log_ends_in_either_spelling() {
        for (format, spelling) in [(TableFormat::V3, Spelling::Own), (TableFormat::V2, Spelling::AsPlace)] {
            let start = Counter::start(format);
            assert_eq!(start.next(), Checkpoint::START);
            for (next, page, page_item) in
                [(0, 0, -1), (1, 0, 0), (1_000, 0, 999), (1_001, 1, 0), (2_500, 2, 499)]
            {
                let counter = Counter { page, page_item, spelling };
                assert_eq!(counter.next(), Checkpoint::new(next));
                assert_eq!(start.at(Checkpoint::new(next)), counter);
                assert_eq!(Counter::of(&counter.item()).unwrap(), counter);
                assert_eq!(counter.item().contains_key(PAGE), format == TableFormat::V2);
            }
        }
    }
}
