//! Where a changeset stands in the global order, as attributes of its item.
//!
//! A place is a page and a number on it. The global index has one partition key for each page, and so the newest
//! page takes what one partition takes. In new tables a page has several keys, its stripes: 25 places in a row are in
//! one stripe, the next 25 in the next, and so on. So who reads a few places asks one or two stripes, and what is
//! written goes to all of them in turn.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{Item, STREAM_ID, number, to_number};
use super::table_format::TableFormat;
use crate::Checkpoint;

pub(super) const PAGE: &str = "page";
pub(super) const PAGE_ITEM: &str = "page_item";
/// The partition key of the global index, in a table whose pages have stripes: [`STRIPES`] * page + stripe.
pub(super) const STRIPE: &str = "stripe";

/// Places in one page of the global index.
pub(super) const PAGE_LENGTH: u64 = 1_000;
/// Stripes of a page.
pub(super) const STRIPES: u64 = 8;
/// Places in a row that are in one stripe.
const RUN: u64 = 25;

// Each stripe of a page has as many places as the others.
const _: () = assert!(PAGE_LENGTH.is_multiple_of(STRIPES * RUN));

impl TableFormat {
    /// Whether the pages of the global index have stripes.
    pub(super) fn has_stripes(self) -> bool {
        self == Self::V3
    }

    /// The partition key of the global index; its sort key is [`PAGE_ITEM`].
    pub(super) fn partition_of_order(self) -> &'static str {
        if self.has_stripes() { STRIPE } else { PAGE }
    }

    /// The attributes that make a place, each with its stand-in in expressions.
    pub(super) fn place_attributes(self) -> &'static [(&'static str, &'static str)] {
        const ALL: [(&str, &str); 3] = [("#p", PAGE), ("#i", PAGE_ITEM), ("#t", STRIPE)];
        if self.has_stripes() { &ALL } else { &ALL[..2] }
    }
}

/// What an item says of its place in the global order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placing {
    /// It has none yet. A `page_item` or a `stripe` alone do not count: indexing overwrites them.
    Missing,
    At(Checkpoint),
    /// A part of a place, or numbers that are none. No indexer wrote it, and none may overwrite it.
    Malformed,
}

pub(super) fn placing(item: &Item, format: TableFormat) -> Placing {
    match of(item, format) {
        Some(place) => Placing::At(place),
        None if item.contains_key(PAGE) => Placing::Malformed,
        None => Placing::Missing,
    }
}

/// Where it stands in the global order, if it has a place there yet.
pub(super) fn of(item: &Item, format: TableFormat) -> Option<Checkpoint> {
    let page = to_number(item, PAGE).ok()?;
    let page_item = to_number(item, PAGE_ITEM).ok().filter(|page_item| *page_item < PAGE_LENGTH)?;
    let place = page.checked_mul(PAGE_LENGTH)?.checked_add(page_item).map(Checkpoint::new)?;
    let is_found = || to_number(item, STRIPE).is_ok_and(|stripe| stripe == stripe_of(place));
    (!format.has_stripes() || is_found()).then_some(place)
}

/// The page of a checkpoint, and its number there.
pub(super) fn page_of(checkpoint: Checkpoint) -> (u64, u64) {
    (checkpoint.get() / PAGE_LENGTH, checkpoint.get() % PAGE_LENGTH)
}

fn stripe_of(checkpoint: Checkpoint) -> u64 {
    let (page, page_item) = page_of(checkpoint);
    page * STRIPES + page_item / RUN % STRIPES
}

/// The attributes of a place, as they are in an item.
pub(super) fn attributes(
    place: Checkpoint,
    format: TableFormat,
) -> impl Iterator<Item = (&'static str, u64)> {
    let (page, page_item) = page_of(place);
    let value = move |name| match name {
        PAGE => page,
        PAGE_ITEM => page_item,
        _ => stripe_of(place),
    };
    format.place_attributes().iter().map(move |(_, name)| (*name, value(*name)))
}

/// Some places of one partition of the global index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// Its key.
    pub(super) partition: u64,
    pub(super) page: u64,
    /// The first number on the page, and the last.
    pub(super) page_items: (u64, u64),
}

/// Where the global index has what is from one place to before another, both on one page; the partition of the first
/// place first.
pub(super) fn ranges(from: Checkpoint, to: Checkpoint, format: TableFormat) -> Vec<Range> {
    let (page, first) = page_of(from);
    let last = to.get().saturating_sub(1).saturating_sub(page * PAGE_LENGTH);
    let from_run = |first: u64, partition| Range { partition, page, page_items: (first, last) };
    if !format.has_stripes() {
        return vec![from_run(first, page)];
    }
    let runs = std::iter::successors(Some(first), |first| Some((first / RUN + 1) * RUN));
    let runs = runs.take_while(|first| *first <= last).take(STRIPES as usize);
    runs.map(|first| from_run(first, stripe_of(Checkpoint::new(page * PAGE_LENGTH + first)))).collect()
}

/// The parts of an expression that gives an item its place.
pub(super) struct Given {
    pub(super) expression: &'static str,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

/// How an item gets this place.
pub(super) fn given(place: Checkpoint, format: TableFormat) -> Given {
    let expression =
        if format.has_stripes() { "SET #p = :p, #i = :i, #t = :t" } else { "SET #p = :p, #i = :i" };
    let stand_ins = format.place_attributes().iter().map(|(stand_in, _)| stand_in.replace('#', ":"));
    let values = stand_ins.zip(attributes(place, format)).map(|(it, (_, value))| (it, number(value)));
    Given { expression, names: names(format), values: values.collect() }
}

/// How an item loses its place.
pub(super) fn taken_away(format: TableFormat) -> (&'static str, HashMap<String, String>) {
    (if format.has_stripes() { "REMOVE #p, #i, #t" } else { "REMOVE #p, #i" }, names(format))
}

/// The names of these attributes, and `#s` for [`STREAM_ID`].
pub(super) fn names(format: TableFormat) -> HashMap<String, String> {
    let of_place = format.place_attributes().iter().copied();
    of_place.chain([("#s", STREAM_ID)]).map(|(it, name)| (it.to_owned(), name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::item::{key, text};
    use super::*;

    const ALL: [TableFormat; 3] = [TableFormat::V1, TableFormat::V2, TableFormat::V3];

    fn placed(place: u64, format: TableFormat) -> Item {
        let mut item = key("a", 1);
        item.extend(
            attributes(Checkpoint::new(place), format).map(|(name, value)| (name.to_owned(), number(value))),
        );
        item
    }

    #[test]
    fn a_checkpoint_is_a_page_and_a_number_on_it() {
        assert_eq!(page_of(Checkpoint::new(2_017)), (2, 17));
        assert_eq!(of(&key("a", 1), TableFormat::V3), None);
        for format in ALL {
            for place in [0, 24, 25, 199, 200, 999, 1_000, 2_017, 123_456_789] {
                assert_eq!(of(&placed(place, format), format), Some(Checkpoint::new(place)));
            }
        }
        let attributes: Vec<_> = attributes(Checkpoint::new(2_217), TableFormat::V3).collect();
        assert_eq!(attributes, [(PAGE, 2), (PAGE_ITEM, 217), (STRIPE, 2 * 8)]);
    }

    #[test]
    fn part_of_a_place_and_numbers_that_are_none_are_told_from_none() {
        let n = |digits: &str| AttributeValue::N(digits.to_owned());
        let with = |attributes: &[(&str, AttributeValue)], format| {
            let mut item = key("a", 1);
            item.extend(attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            placing(&item, format)
        };
        for format in ALL {
            let with = |attributes: &[_]| with(attributes, format);
            assert_eq!(with(&[]), Placing::Missing);
            assert_eq!(with(&[(PAGE_ITEM, n("3"))]), Placing::Missing);
            assert_eq!(with(&[(STRIPE, n("8")), (PAGE_ITEM, n("3"))]), Placing::Missing);
            let stripe = (STRIPE, n("8"));
            let whole = with(&[(PAGE, n("1")), (PAGE_ITEM, n("3")), stripe.clone()]);
            assert_eq!(whole, Placing::At(Checkpoint::new(1_003)));
            for page_item in [n("1000"), n("-1"), n("1.5"), text("3")] {
                let item = [(PAGE, n("1")), (PAGE_ITEM, page_item), stripe.clone()];
                assert_eq!(with(&item), Placing::Malformed);
            }
            for page in [n("-1"), n("0.5"), n("99999999999999999999"), n("18446744073709551615"), text("1")] {
                assert_eq!(with(&[(PAGE, page), (PAGE_ITEM, n("3")), stripe.clone()]), Placing::Malformed);
            }
            assert_eq!(with(&[(PAGE, n("1"))]), Placing::Malformed);
        }
        // Readers look for it in its stripe only.
        let place = [(PAGE, n("1")), (PAGE_ITEM, n("3"))];
        assert_eq!(with(&place, TableFormat::V2), Placing::At(Checkpoint::new(1_003)));
        assert_eq!(with(&place, TableFormat::V3), Placing::Malformed);
        for stripe in [n("9"), n("0"), n("8.5"), text("8")] {
            let item = [place.clone().as_slice(), &[(STRIPE, stripe)]].concat();
            assert_eq!(with(&item, TableFormat::V3), Placing::Malformed);
        }
    }

    /// Whatever a page is asked for: each of its places is in one of the ranges, once.
    #[test]
    fn the_ranges_of_a_page_hold_each_of_its_places_once() {
        for format in ALL {
            for first in (0..PAGE_LENGTH).step_by(49) {
                for count in [1, 2, 10, 25, 26, 99, 199, 201, 1_000] {
                    let (from, to) = (3_000 + first, (3_000 + first + count).min(4_000));
                    let ranges = ranges(Checkpoint::new(from), Checkpoint::new(to), format);
                    assert!(
                        ranges.len() as u64 <= if format.has_stripes() { count.div_ceil(RUN) + 1 } else { 1 }
                    );
                    for place in 3_000..4_000 {
                        let item = placed(place, format);
                        let partition = to_number(&item, format.partition_of_order()).unwrap();
                        let has = |range: &&Range| {
                            let (first, last) = range.page_items;
                            range.partition == partition && (first..=last).contains(&(place % PAGE_LENGTH))
                        };
                        let found = ranges.iter().filter(has).count();
                        assert_eq!(
                            found,
                            usize::from((from..to).contains(&place)),
                            "{place} of {from}..{to}"
                        );
                    }
                    let of_first = to_number(&placed(from, format), format.partition_of_order()).unwrap();
                    assert_eq!(ranges[0].partition, of_first);
                }
            }
        }
    }

    #[test]
    fn the_stripes_of_a_page_have_as_many_places_each() {
        let mut counts = HashMap::new();
        for place in 7_000..8_000 {
            *counts.entry(stripe_of(Checkpoint::new(place))).or_insert(0) += 1;
        }
        assert_eq!(counts, (56..64).map(|stripe| (stripe, 125)).collect());
        // And of what is placed in a row each has its share, but for a run.
        for (first, count) in (0..1_000).flat_map(|first| [99, 500, 1_000].map(|count| (first, count))) {
            let all = || (first..first + count).map(|place| stripe_of(Checkpoint::new(place)) % STRIPES);
            for stripe in 0..STRIPES {
                let found = all().filter(|of| *of == stripe).count() as u64;
                assert!(found.abs_diff(count / STRIPES) <= RUN, "{found} of {count} from {first}");
            }
        }
    }
}
