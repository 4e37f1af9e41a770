//! Takes over a table that another system has made and written, in place.
//!
//! Such a table may hold places in the order that no changeset has, and changesets that have no place. A strongly consistent
//! scan finds both, once; the holes are written down, so that readers know them from entries that are only late, and what
//! has no place gets one behind all others.

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::counter::{self, Counter};
use super::error::failed;
use super::holes::Seen;
use super::item::{self, CHANGESET_ID, Item, PAGE, PAGE_ITEM, STREAM_ID, number, text};
use super::table::{Table, names};
use super::worker::Worker;
use super::{Options, identity, sweep};
use crate::{Checkpoint, Error, Result};

/// How far a scan has come, and what it has seen: for going on after a crash.
const PROGRESS: &str = "!!!RESERVED:ADOPTION!!!";
const AT_STREAM: &str = "at_stream_id";
const AT_CHANGESET: &str = "at_changeset_id";
const IS_SCANNED: &str = "is_scanned";
/// Where the order ended when the scan began.
const ENDED_AT: &str = "ended_at";
const CHANGESETS: &str = "changesets";
const SEEN: &str = "seen";
/// Words of 64 places in one piece: a million places.
const PIECE_WORDS: usize = 16_384;
/// Calls between two times that progress is written down: a hundred megabytes.
const SAVE_EVERY: u64 = 100;

/// What adopting a table found, and did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Adopted {
    /// Whether it was adopted before: then only what still lacked its place was looked for.
    pub is_known: bool,
    /// Changesets that were there.
    pub changesets: u64,
    /// Where the order ended: what comes later has no holes.
    pub head: Checkpoint,
    /// Places before it that no changeset has.
    pub holes: u64,
    /// Changesets that had no place, and have one now, from `head` on.
    pub indexed: u64,
    /// Calls of the table.
    pub calls: u64,
    /// Read capacity units it took.
    pub read_units: f64,
}

/// Takes over a table that another system has made and written. That system's functions must be stopped before.
///
/// Reads the whole table, consistently: a read unit for 4 KB. `told` hears how many changesets it has come by. What was done
/// is remembered every hundred megabytes, so after a crash it goes on about there; done again, it only looks for what has
/// no place.
///
/// Places in the order that no changeset has are written down as holes. Changesets without a place get one behind all
/// others; where one has a place before its predecessor in the stream, it keeps it.
///
/// # Errors
/// [`Error::InvalidRequest`] when the table lacks something, or the other system is still at work.
pub async fn adopt(
    config: impl Into<Config>,
    table: &str,
    mut told: impl FnMut(u64) + Send,
) -> Result<Adopted> {
    let (table, _) = Table::find(config, table, Options::default().patience).await?;
    let (table, told) = (&table, &mut told);
    let mut done = Adopted { is_known: identity::find(table).await?.is_some(), ..Adopted::default() };
    if done.is_known {
        done.holes = identity::holes(table).await?.count();
        done.head = counter::look(table).await?.next();
    } else {
        establish(table, &mut done, told).await?;
    }
    index_the_rest(table, &mut done).await?;
    Ok(done)
}

/// Finds the holes, and names the log. The counter then stands where the order ends, also where there was none, or one that
/// had fallen behind.
async fn establish(table: &Table, done: &mut Adopted, told: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
    let known = table.get(counter::key()).await?;
    let before = known.as_ref().map(Counter::of).transpose()?;
    let mut scan = Scan::resume(table, before.unwrap_or(Counter::START).next()).await?;
    scan.run(table, done, told).await?;
    done.head = scan.seen.end().max(before.unwrap_or(Counter::START).next());
    let holes = scan.seen.holes(done.head);
    done.holes = holes.count();
    identity::save_holes(table, &holes).await?;
    let mut counter = known.unwrap_or_default();
    counter.extend(Counter::at(done.head).item());
    counter::complete(&mut counter);
    if identity::create(table, before, counter).await? || identity::find(table).await?.is_some() {
        return Ok(());
    }
    Err(Error::InvalidRequest(
        "somebody gave out places in the order meanwhile; stop the other system, then adopt again".to_owned(),
    ))
}

/// The scan of the whole table, as far as it has come.
#[derive(Default)]
struct Scan {
    seen: Seen,
    from: Option<Item>,
    changesets: u64,
    is_done: bool,
    ended_at: Checkpoint,
}

impl Scan {
    /// Goes on where the last one was interrupted; from the start, if the order has grown meanwhile.
    async fn resume(table: &Table, ended_at: Checkpoint) -> Result<Self> {
        let mut scan = Self { ended_at, ..Self::default() };
        let saved = identity::pieces(table, PROGRESS).await?;
        let Some((progress, pieces)) = saved.split_first() else { return Ok(scan) };
        let is_progress = item::to_number(progress, CHANGESET_ID)? == 0;
        if !is_progress || item::to_number(progress, ENDED_AT)? != ended_at.get() {
            return Ok(scan);
        }
        scan.changesets = item::to_number(progress, CHANGESETS)?;
        scan.is_done = progress.contains_key(IS_SCANNED);
        if let (Ok(stream), Ok(id)) =
            (item::to_text(progress, AT_STREAM), item::to_number(progress, AT_CHANGESET))
        {
            scan.from = Some(item::key(stream, id));
        }
        for saved in pieces {
            let piece = saved.get(SEEN).and_then(|value| value.as_b().ok());
            let at = item::to_number(saved, CHANGESET_ID)? - 1;
            scan.seen.restore(at, PIECE_WORDS, piece.map_or(&[], |piece| piece.as_ref()));
        }
        Ok(scan)
    }

    async fn run(
        &mut self,
        table: &Table,
        done: &mut Adopted,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        while !self.is_done {
            self.part(table, done).await?;
            told(self.changesets);
            if self.is_done || done.calls.is_multiple_of(SAVE_EVERY) {
                self.save(table).await?;
            }
        }
        done.changesets = self.changesets;
        Ok(())
    }

    async fn part(&mut self, table: &Table, done: &mut Adopted) -> Result<()> {
        let scan = || {
            let call = table.client.scan().table_name(&*table.name).consistent_read(true);
            let call = call.projection_expression("#s, #c, #p, #i").set_expression_attribute_names(names([
                ("#s", STREAM_ID),
                ("#c", CHANGESET_ID),
                ("#p", PAGE),
                ("#i", PAGE_ITEM),
            ]));
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            call.set_exclusive_start_key(self.from.clone()).send()
        };
        let answer = table.call(scan).await.map_err(failed)?;
        for found in answer.items().iter().filter(|item| !item::is_reserved(item)) {
            self.changesets += 1;
            if let Some(place) = item::place(found) {
                self.seen.mark(place);
            }
        }
        done.calls += 1;
        done.read_units += answer.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(0.0);
        self.from = answer.last_evaluated_key;
        self.is_done = self.from.is_none();
        Ok(())
    }

    /// What was seen first, then how far that goes: seeing something twice does no harm, missing it would.
    async fn save(&self, table: &Table) -> Result<()> {
        for (at, piece) in self.seen.pieces(PIECE_WORDS) {
            let mut saved = item::key(PROGRESS, at + 1);
            saved.insert(SEEN.to_owned(), item::bytes(piece));
            put(table, saved).await?;
        }
        let mut progress = item::key(PROGRESS, 0);
        progress.insert(CHANGESETS.to_owned(), number(self.changesets));
        progress.insert(ENDED_AT.to_owned(), number(self.ended_at.get()));
        if let Some(from) = &self.from {
            progress.insert(AT_STREAM.to_owned(), text(item::to_text(from, STREAM_ID)?));
            progress.insert(AT_CHANGESET.to_owned(), number(item::to_number(from, CHANGESET_ID)?));
        }
        if self.is_done {
            progress.insert(IS_SCANNED.to_owned(), number(1));
        }
        put(table, progress).await
    }
}

async fn put(table: &Table, item: Item) -> Result<()> {
    let put = || table.client.put_item().table_name(&*table.name).set_item(Some(item.clone())).send();
    table.call(put).await.map(drop).map_err(failed)
}

async fn index_the_rest(table: &Table, done: &mut Adopted) -> Result<()> {
    let mut worker = Worker::new(table.clone(), None);
    let mut from = None;
    loop {
        let mut part = sweep::part(table, from).await?;
        done.calls += 1;
        done.read_units += part.read_units;
        done.indexed += worker.index(&mut part.found).await? as u64;
        from = part.next;
        if from.is_none() {
            return Ok(());
        }
    }
}
