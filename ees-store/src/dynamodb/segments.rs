//! The log by segments: a parallel scan of the table, of which each part holds its streams whole and in order.
//!
//! The scan is consistent, and finds the place of each changeset that has one. A transaction that gives places
//! commits item by item, though: when the counter has been seen behind a place, the changeset may still be without
//! it. So whatever is found without a place is read once more, as no transaction leaves it behind.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::error::failed;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID, to_number, to_text};
use super::place::{self, Placing, placing};
use super::table::Table;
use crate::segment::OpenPage;
use crate::{Error, Result, SegmentPage, SegmentPlace, SegmentQuery};

/// A page that has come this far ends, whatever it holds: others may pass little.
const PAGE_TIME_MAX: Duration = Duration::from_secs(1);
/// Items that are looked at in one transaction. One that is written meanwhile makes all of them be read again.
const SETTLED_AT_ONCE: usize = 25;

/// A page of a segment.
pub(super) async fn page(table: &Table, query: &SegmentQuery) -> Result<SegmentPage> {
    let begun = Instant::now();
    let mut page = OpenPage::new(query);
    loop {
        let (items, next) = scan(table, query, &mut page).await?;
        for item in items {
            let (place, is_changeset) = (place_of(&item)?, !item::is_reserved(&item));
            if !is_changeset {
                page.pass_to(place);
                continue;
            }
            ascends(page.place(), &place)?;
            match placing(&item, table.format) {
                Placing::Malformed => return Err(half_a_place(&place)),
                Placing::At(checkpoint) if checkpoint < query.until => {
                    if !page.take(item::to_indexed(&item, checkpoint)?) {
                        return Ok(page.cut());
                    }
                }
                Placing::At(_) | Placing::Missing => page.pass_to(place),
            }
        }
        let Some(next) = next else { return Ok(page.last()) };
        // An answer may have no items, and not be the last one.
        page.pass_to(next);
        if page.room() == 0 || begun.elapsed() >= PAGE_TIME_MAX {
            return Ok(page.cut());
        }
    }
}

/// One answer of the scan after what the page has passed, and where the next one begins, if there is one.
async fn scan(
    table: &Table,
    query: &SegmentQuery,
    page: &mut OpenPage<'_>,
) -> Result<(Vec<Item>, Option<SegmentPlace>)> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let room = i32::try_from(page.room().max(1)).unwrap_or(i32::MAX);
    let from = page.place().map(|place| item::key(place.stream_id(), place.changeset_id()));
    let scan = || {
        let call = table.client.scan().table_name(&*table.name).consistent_read(true).limit(room);
        let call =
            call.segment(number(query.segment.index)).total_segments(number(query.segment.count.max(1)));
        let call = call.set_exclusive_start_key(from.clone());
        call.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
    };
    let answer = table.call(scan).await.map_err(failed)?;
    if let Some(units) = answer.consumed_capacity.and_then(|consumed| consumed.capacity_units) {
        page.charge(units);
    }
    let mut items = answer.items.unwrap_or_default();
    settle(table, &mut items).await?;
    Ok((items, answer.last_evaluated_key.as_ref().map(place_of).transpose()?))
}

/// Reads the changesets without a place once more.
async fn settle(table: &Table, items: &mut [Item]) -> Result<()> {
    let mut placeless: Vec<_> = items
        .iter_mut()
        .filter(|item| !item::is_reserved(item) && place::of(item, table.format).is_none())
        .collect();
    for some in placeless.chunks_mut(SETTLED_AT_ONCE) {
        let keys =
            some.iter().map(|item| Ok(item::key(to_text(item, STREAM_ID)?, to_number(item, CHANGESET_ID)?)));
        let settled = table.get_all_settled(&keys.collect::<Result<Vec<_>>>()?).await?;
        for (item, settled) in some.iter_mut().zip(settled) {
            if let Some(settled) = settled {
                **item = settled;
            }
        }
    }
    Ok(())
}

fn place_of(item: &Item) -> Result<SegmentPlace> {
    Ok(SegmentPlace::new(to_text(item, STREAM_ID)?, to_number(item, CHANGESET_ID)?))
}

/// The indexer stops before such a changeset, so a reader by segments must not step over it.
fn half_a_place(place: &SegmentPlace) -> Error {
    Error::Storage {
        detail: format!(
            "DynamoDB: changeset {} of stream \"{}\" has a place in the order that can't be right: `ees dynamodb mend` gives it a new \
             one",
            place.changeset_id(),
            place.stream_id()
        ),
        source: "a part of page, page_item and stripe".into(),
    }
}

/// DynamoDB keeps the items of a stream together, in the order of their numbers. A reader by segments relies on that,
/// so it is not taken for granted.
fn ascends(before: Option<&SegmentPlace>, place: &SegmentPlace) -> Result<()> {
    let is_back = |before: &SegmentPlace| {
        before.stream_id() == place.stream_id() && before.changeset_id() >= place.changeset_id()
    };
    match before.filter(|before| is_back(before)) {
        None => Ok(()),
        Some(before) => Err(Error::Storage {
            detail: format!(
                "DynamoDB: a scan gave changeset {} of stream \"{}\" before changeset {}, so the log can't be read by \
                 segments here; read it in its order",
                before.changeset_id(),
                place.stream_id(),
                place.changeset_id()
            ),
            source: "the items of a stream are not in order".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_out_of_order_is_noticed() {
        let at = SegmentPlace::new;
        for (before, place, is_fine) in [
            (at("a", 9), at("a", 10), true),
            (at("a", 9), at("b", 1), true),
            (at("b", 9), at("a", 1), true),
            (at("a", 10), at("a", 2), false),
            (at("a", 2), at("a", 2), false),
        ] {
            assert_eq!(ascends(Some(&before), &place).is_ok(), is_fine, "{before:?} {place:?}");
        }
        assert!(ascends(None, &at("a", 1)).is_ok());
    }
}
