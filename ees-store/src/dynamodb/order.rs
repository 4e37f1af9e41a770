//! The global index, which enumerates the order, as it is read.
//!
//! It lags behind the table by moments, and so does each of its partitions by itself. What it has of a page is put
//! together here, in order; whether that is all, who reads must judge.

use futures::future::try_join_all;

use super::error::failed;
use super::item::{self, Item};
use super::place::{self, PAGE_ITEM, PAGE_LENGTH, Range};
use super::table::{Table, names, values};
use crate::{Checkpoint, Result};

/// What one answer of DynamoDB holds, and what is asked for at once where several make up a page.
const ANSWER_BYTES: usize = 1024 * 1024;

/// What the index has of a page, from one place to before another.
pub(super) struct Part {
    /// In their order. Of several at one place, the first one is the one that the index has first.
    pub(super) entries: Vec<(Checkpoint, Item)>,
    /// What is missing before this place is late. What is missing from there on was not asked for.
    pub(super) until: Checkpoint,
}

/// How much to ask for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The first place may be late: nothing else is asked for before it is there.
    FirstPlaceFirst,
    All,
}

/// What the index has from one place to before another, both on one page.
pub(super) async fn part(table: &Table, from: Checkpoint, to: Checkpoint, ask: Ask) -> Result<Part> {
    let ranges = place::ranges(from, to, table.format);
    let part = assemble(from, to, ranges, ask, |range| query(table, range)).await?;
    let bytes: usize = part.entries.iter().map(|(_, entry)| item::size_bytes(entry)).sum();
    if let Some(bytes) = bytes.checked_div(part.entries.len()) {
        table.entry_bytes.found(bytes);
    }
    Ok(part)
}

/// Puts together what the partitions have, each as of a moment of its own.
pub(super) async fn assemble<F: Future<Output = Result<Answer>>>(
    from: Checkpoint,
    to: Checkpoint,
    mut ranges: Vec<Range>,
    ask: Ask,
    query: impl Fn(Range) -> F,
) -> Result<Part> {
    let mut part = Part { entries: Vec::new(), until: to };
    if ask == Ask::FirstPlaceFirst && ranges.len() > 1 {
        part.add(query(ranges.remove(0)).await?);
        if part.entries.first().is_none_or(|(place, _)| *place != from) {
            return Ok(part);
        }
    }
    for answer in try_join_all(ranges.into_iter().map(query)).await? {
        part.add(answer);
    }
    // Stable: what is at one place is in one partition, and stays in its order.
    part.entries.sort_by_key(|(place, _)| *place);
    Ok(part)
}

/// What the index has at this place.
pub(super) async fn at(table: &Table, place: Checkpoint) -> Result<Vec<Item>> {
    let part = part(table, place, place.next(), Ask::All).await?;
    Ok(part.entries.into_iter().map(|(_, entry)| entry).collect())
}

/// How many places to ask for, so that what is found is about so many bytes, but no more than one answer of DynamoDB
/// and no less than an eighth of one.
///
/// One partition alone ends its answer by itself. Of several each would go on until it is full.
pub(super) fn places_within(table: &Table, bytes: usize) -> u64 {
    if !table.format.has_stripes() {
        return PAGE_LENGTH;
    }
    (bytes.clamp(ANSWER_BYTES / 8, ANSWER_BYTES) / table.entry_bytes.typical()).max(1) as u64
}

impl Part {
    fn add(&mut self, answer: Answer) {
        self.entries.extend(answer.entries);
        self.until = answer.cut_at.map_or(self.until, |cut_at| cut_at.min(self.until));
    }
}

/// What one partition has.
pub(super) struct Answer {
    pub(super) entries: Vec<(Checkpoint, Item)>,
    /// It had no room for what comes after this place.
    pub(super) cut_at: Option<Checkpoint>,
}

async fn query(table: &Table, range: Range) -> Result<Answer> {
    let (first, last) = range.page_items;
    let query = || {
        let call = table.client.query().table_name(&*table.name).index_name(&*table.enumeration);
        let call = call.key_condition_expression("#p = :p AND #i BETWEEN :first AND :last");
        let partition = table.format.partition_of_order();
        let call = call.set_expression_attribute_names(names([("#p", partition), ("#i", PAGE_ITEM)]));
        let call = call.set_expression_attribute_values(values([
            (":p", item::number(range.partition)),
            (":first", item::number(first)),
            (":last", item::number(last)),
        ]));
        call.send()
    };
    let answer = table.call(query).await.map_err(failed)?;
    let cut_at = answer.last_evaluated_key.map(|key| {
        let page_item = item::to_number(&key, PAGE_ITEM).unwrap_or(first);
        Checkpoint::new(range.page * PAGE_LENGTH + page_item)
    });
    // Nobody gets an entry whose numbers are no place.
    let entry = |entry: Item| Some((place::of(&entry, table.format)?, entry));
    let entries = answer.items.unwrap_or_default().into_iter().filter_map(entry).collect();
    Ok(Answer { entries, cut_at })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use fastrand::Rng;

    use super::super::table_format::TableFormat;
    use super::*;

    /// An index that shows an entry after it was asked for it so often, and ends an answer when it is full.
    struct Index {
        hidden_for: Mutex<BTreeMap<u64, u32>>,
        format: TableFormat,
        answer_max: usize,
        queries: Mutex<u64>,
    }

    impl Index {
        async fn query(&self, range: Range) -> Result<Answer> {
            *self.queries.lock().unwrap() += 1;
            let mut answer = Answer { entries: Vec::new(), cut_at: None };
            for (&place, hidden_for) in &mut *self.hidden_for.lock().unwrap() {
                let place = Checkpoint::new(place);
                let is_in = |range: &Range, place| {
                    let of_place = place::ranges(place, place.next(), self.format)[0];
                    let (first, last) = range.page_items;
                    of_place.partition == range.partition && (first..=last).contains(&of_place.page_items.0)
                };
                if !is_in(&range, place) {
                    continue;
                }
                if *hidden_for > 0 {
                    *hidden_for -= 1;
                    continue;
                }
                answer.entries.push((place, Item::new()));
                if answer.entries.len() == self.answer_max {
                    answer.cut_at = Some(place);
                    break;
                }
            }
            Ok(answer)
        }
    }

    /// However late entries are, in whichever partition, and wherever answers end: who takes what comes next, and
    /// asks again at what is missing, gets each place once and in order.
    #[tokio::test]
    async fn no_place_is_skipped_or_repeated_however_late_the_partitions_are() {
        for (seed, format) in (0..60).flat_map(|seed| [(seed, TableFormat::V3), (seed, TableFormat::V2)]) {
            let mut rng = Rng::with_seed(seed);
            let end = rng.u64(1..2_400);
            let late = rng.f64();
            let mut hidden_for = || if rng.f64() < late { rng.u32(1..4) } else { 0 };
            let hidden_for: BTreeMap<_, _> = (0..end).map(|place| (place, hidden_for())).collect();
            let answer_max = rng.usize(1..200);
            let index =
                Index { hidden_for: Mutex::new(hidden_for), format, answer_max, queries: Mutex::default() };
            let mut next = 0;
            while next < end {
                let end_of_page = (next / PAGE_LENGTH + 1) * PAGE_LENGTH;
                let to = (next + rng.u64(1..=PAGE_LENGTH)).min(end_of_page).min(end);
                let ask = if rng.bool() { Ask::All } else { Ask::FirstPlaceFirst };
                let (from, to) = (Checkpoint::new(next), Checkpoint::new(to));
                let shown = index.hidden_for.lock().unwrap().clone();
                let part =
                    assemble(from, to, place::ranges(from, to, format), ask, |range| index.query(range));
                let part = part.await.unwrap();
                assert!(part.until <= to && part.entries.is_sorted_by_key(|(place, _)| *place));
                let before = next;
                for (place, _) in &part.entries {
                    assert!((from..to).contains(place), "{place} of {from}..{to}");
                    if place.get() != next {
                        break;
                    }
                    next += 1;
                }
                // What is missing before `until` was hidden, and so it is right to wait for it.
                if ask == Ask::All || next > before {
                    let has = |place| part.entries.iter().any(|(it, _)| it.get() == place);
                    let is_settled = |place| shown[&place] > 0 || has(place);
                    assert!((before..part.until.get()).all(is_settled), "{seed}: {from}..{to}");
                }
            }
            assert_eq!(next, end);
        }
    }

    /// Who follows asks one partition while nothing is there, and no more than hold what has come.
    #[tokio::test]
    async fn a_place_that_is_late_is_asked_for_alone() {
        let at = Checkpoint::new;
        for (from, to, hidden_for, queries) in
            [(7, 8, 0, 1), (7, 8, 9, 1), (7, 25, 0, 1), (7, 26, 0, 2), (7, 900, 9, 1), (7, 900, 0, 8)]
        {
            let hidden_for = (0..1_000).map(|place| (place, hidden_for)).collect();
            let index = Index {
                hidden_for: Mutex::new(hidden_for),
                format: TableFormat::V3,
                answer_max: 1_000,
                queries: Mutex::default(),
            };
            let ranges = place::ranges(at(from), at(to), TableFormat::V3);
            let part = assemble(at(from), at(to), ranges, Ask::FirstPlaceFirst, |range| index.query(range));
            part.await.unwrap();
            assert_eq!(*index.queries.lock().unwrap(), queries, "{from}..{to}");
        }
    }
}
