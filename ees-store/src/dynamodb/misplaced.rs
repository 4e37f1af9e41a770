//! Places in the order that no indexer can have given out.

use std::fmt;

use super::counter::{self, Counter};
use super::item::{self, CHANGESET_ID, Item, STREAM_ID};
use super::place::{PAGE, PAGE_ITEM, Placing, STRIPE, placing};
use super::table::Table;
use crate::{ChangesetId, Checkpoint, Result, StreamId};

/// Why the place of a changeset in the global order can't be right.
///
/// Neither this store's indexers nor those of the system that it is compatible with write such a place: a
/// person or another program did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misplacement {
    /// The item has a part of a place (`page` without `page_item`; in a table of
    /// [`TableFormat::V3`](super::TableFormat::V3) also without the right `stripe`), or numbers that are no place.
    /// Readers don't see it.
    Malformed,
    /// The place was never given out: it is not before the counter. Readers don't see it. Once the counter
    /// gets there, another changeset has the same place.
    NeverGiven {
        /// The place.
        checkpoint: Checkpoint,
    },
    /// Another changeset has the same place, and readers get that one.
    Doubled {
        /// The place.
        checkpoint: Checkpoint,
        /// The stream of the changeset that readers get there, and its number.
        keeper: (StreamId, ChangesetId),
    },
}

impl fmt::Display for Misplacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                write!(
                    f,
                    "its `{PAGE}` and `{PAGE_ITEM}`, or its `{STRIPE}`, are no place in the order (a part of one, or no \
                     such numbers)"
                )
            }
            Self::NeverGiven { checkpoint } => {
                write!(f, "its checkpoint {checkpoint} is not before the counter, so no indexer gave it out")
            }
            Self::Doubled { checkpoint, keeper: (stream_id, changeset_id) } => {
                write!(
                    f,
                    "changeset {changeset_id} of stream {stream_id:?} has the same checkpoint {checkpoint}"
                )
            }
        }
    }
}

/// A changeset whose place in the global order can't be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misplaced {
    /// Its stream.
    pub stream_id: StreamId,
    /// Its number in the stream.
    pub changeset_id: ChangesetId,
    /// What is wrong with its place.
    pub why: Misplacement,
    /// The place that it was given instead, if it was.
    pub moved_to: Option<Checkpoint>,
}

impl Misplaced {
    pub(super) fn new(item: &Item, why: Misplacement) -> Result<Self> {
        let stream_id = StreamId::stored(item::to_text(item, STREAM_ID)?);
        let changeset_id = ChangesetId::new(item::to_number(item, CHANGESET_ID)?);
        Ok(Self { stream_id, changeset_id, why, moved_to: None })
    }
}

/// What is wrong with the place that this item was read with, if anything is. `known` is where the counter was
/// last seen; it is read again when that does not explain the place.
pub(super) async fn misplacement(
    table: &Table,
    known: &mut Option<Counter>,
    found: &Item,
) -> Result<Option<Misplacement>> {
    let placing_of = |found: &Item| placing(found, table.format);
    match placing_of(found) {
        Placing::Missing => return Ok(None),
        Placing::Malformed => return Ok(Some(Misplacement::Malformed)),
        Placing::At(_) => {}
    }
    let is_given = |counter: Counter| wrong(placing_of(found), counter).is_none();
    if known.is_some_and(is_given) {
        return Ok(None);
    }
    let counter = counter::look(table).await?;
    *known = Some(counter);
    if is_given(counter) {
        return Ok(None);
    }
    // A plain read may see the changesets of a transaction before its counter.
    let key = item::key(item::to_text(found, STREAM_ID)?, item::to_number(found, CHANGESET_ID)?);
    let (counter, found) = together(table, key).await?;
    *known = Some(counter);
    Ok(found.as_ref().and_then(|found| wrong(placing_of(found), counter)))
}

/// What is wrong with a place, if the counter was where it was read at the same moment. A counter from another moment
/// can only tell that nothing is.
pub(super) fn wrong(placing: Placing, counter: Counter) -> Option<Misplacement> {
    match placing {
        Placing::At(checkpoint) if checkpoint >= counter.next() => {
            Some(Misplacement::NeverGiven { checkpoint })
        }
        Placing::Malformed => Some(Misplacement::Malformed),
        Placing::At(_) | Placing::Missing => None,
    }
}

/// The counter and an item as they were at one moment.
async fn together(table: &Table, key: Item) -> Result<(Counter, Option<Item>)> {
    let [counter, found] = table.get_settled([counter::key(), key]).await?;
    Ok((Counter::found(table, counter.as_ref())?, found))
}
