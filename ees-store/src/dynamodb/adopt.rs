//! Takes over a table that another system has created and written, in place.
//!
//! In such a table, some checkpoints may have no changeset, and some changesets no checkpoint. A strongly
//! consistent scan finds both, once. The adoption records the gaps, so that readers can distinguish them from
//! late entries, and assigns the next free checkpoints to the changesets without one.

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use uuid::Uuid;

use super::counter::{self, Counter};
use super::error::failed;
use super::holes::Seen;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID, number, text};
use super::options::Options;
use super::table::Table;
use super::worker::Worker;
use super::{foreign, identity, sweep};
use crate::{Checkpoint, Error, Result};

/// How far a scan has come, and what it has seen: for going on after a crash.
const PROGRESS: &str = "!!!RESERVED:ADOPTION!!!";
const AT_STREAM: &str = "at_stream_id";
const AT_CHANGESET: &str = "at_changeset_id";
const IS_SCANNED: &str = "is_scanned";
/// Where the order ended when the scan began.
const ENDED_AT: &str = "ended_at";
const CHANGESETS: &str = "changesets";
const QUARANTINED: &str = "quarantined";
const SEEN: &str = "seen";
const PIECES: &str = "pieces";
const RUN: &str = "run";
/// Words of 64 places in one piece: a million places.
const PIECE_WORDS: usize = 16_384;
/// Calls between two times that progress is written down: a hundred megabytes.
const SAVE_EVERY: u64 = 100;

/// What an adoption found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Adopted {
    /// Whether the table was adopted before. Then the call only looked for changesets without a checkpoint.
    pub is_known: bool,
    /// The number of changesets in the table.
    pub changesets: u64,
    /// Where the order ended. There are no gaps after it.
    pub head: Checkpoint,
    /// The number of checkpoints before `head` without a changeset.
    pub holes: u64,
    /// The number of changesets that can't be read: readers get them as quarantined. `ees dynamodb check
    /// --bodies` names them. Not counted again in a table that was adopted before.
    pub quarantined: u64,
    /// The number of changesets that had no checkpoint, and got one from `head` on.
    pub indexed: u64,
    /// The number of calls to DynamoDB.
    pub calls: u64,
    /// The read capacity units consumed.
    pub read_units: f64,
}

/// Takes over a table that another system has created and written. Stop that system first.
///
/// It reads the whole table consistently, at one read unit for 4 KB, and reports the number of changesets so
/// far to `told`. It saves its progress every hundred megabytes and continues there after a crash. On a table
/// that was adopted before, it only looks for changesets without a checkpoint.
///
/// Checkpoints without a changeset are recorded as gaps. Changesets without a checkpoint get the next free
/// ones. A changeset whose checkpoint is before that of its predecessor in the stream keeps it.
///
/// If another system has made the table, and it has a stream of changes, it first waits 10 seconds for the other system's indexer to show
/// itself.
///
/// # Errors
/// [`Error::InvalidRequest`] when the table lacks something, the other system's indexer still runs, or the
/// other system still writes to the table.
pub async fn adopt(
    config: impl Into<Config>,
    table: &str,
    mut told: impl FnMut(u64) + Send,
) -> Result<Adopted> {
    let (table, layout) = Table::find(config, table, Options::default().patience).await?;
    let (table, told) = (&table, &mut told);
    let is_ours = identity::find(table).await?.is_some_and(|identity| !identity.is_adopted());
    if layout.stream.is_some() && !is_ours {
        foreign::must_be_stopped(table).await?;
    }
    let mut done = Adopted::default();
    if !is_adopted(table, &mut done).await? {
        establish(table, &mut done, told).await?;
    }
    index_the_rest(table, &mut done).await?;
    Ok(done)
}

/// Records the holes in the order anew, in a table that was adopted before: the other system's indexer went on
/// for a while, and gave places to items that are no changesets. Stop it first. Servers may run. They see the
/// new holes once they are started again.
///
/// Reads as much as [`adopt`].
///
/// # Errors
/// [`Error::InvalidRequest`] when the table was not adopted, or the other system's indexer still runs.
pub async fn find_holes(
    config: impl Into<Config>,
    table: &str,
    mut told: impl FnMut(u64) + Send,
) -> Result<Adopted> {
    let (table, layout) = Table::find(config, table, Options::default().patience).await?;
    if layout.stream.is_some() {
        foreign::must_be_stopped(&table).await?;
    }
    if identity::find(&table).await?.is_none() {
        return Err(Error::InvalidRequest("the table was not adopted; run `ees dynamodb adopt`".to_owned()));
    }
    let mut done =
        Adopted { is_known: true, head: counter::look(&table).await?.next(), ..Adopted::default() };
    // What has its place before the scan begins, the scan sees: what it does not see up to there is a hole.
    let mut scan = Scan::resume(&table, done.head).await?;
    scan.finish(&table, &mut done, &mut told).await?;
    let holes = scan.seen.holes(done.head);
    done.holes = holes.count();
    let adoption = Uuid::new_v4().to_string();
    identity::save_holes(&table, &adoption, &holes).await?;
    identity::replace_holes(&table, &adoption).await?;
    Ok(done)
}

/// Finds the holes, and names the log. The counter then stands where the order ends, also where there was
/// none, or one that had fallen behind.
async fn establish(table: &Table, done: &mut Adopted, told: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
    let known = table.get(counter::key()).await?;
    let before = known.as_ref().map(Counter::of).transpose()?;
    let mut scan = Scan::resume(table, before.unwrap_or(Counter::START).next()).await?;
    scan.finish(table, done, told).await?;
    done.head = scan.seen.end().max(before.unwrap_or(Counter::START).next());
    let holes = scan.seen.holes(done.head);
    done.holes = holes.count();
    // Under a name of its own: a late run, which has seen checkpoints assigned since, changes nothing.
    let adoption = Uuid::new_v4().to_string();
    identity::save_holes(table, &adoption, &holes).await?;
    let mut counter = known.unwrap_or_default();
    counter.extend(Counter::at(done.head).item());
    counter::complete(&mut counter);
    if identity::create(table, before, counter, Some(&adoption)).await? || is_adopted(table, done).await? {
        return Ok(());
    }
    Err(Error::InvalidRequest(
        "another process assigned checkpoints meanwhile; stop the other system, then adopt again".to_owned(),
    ))
}

/// Whether somebody has adopted it before; then what was found is what is written down.
async fn is_adopted(table: &Table, done: &mut Adopted) -> Result<bool> {
    let Some(identity) = identity::find_settled(table).await? else { return Ok(false) };
    done.is_known = true;
    done.holes = identity::holes(table, &identity).await?.count();
    done.head = counter::look(table).await?.next();
    Ok(true)
}

/// The scan of the whole table, as far as it has come.
struct Scan {
    /// Its name: what another one has written down is not its own.
    run: String,
    seen: Seen,
    from: Option<Item>,
    changesets: u64,
    quarantined: u64,
    is_done: bool,
    ended_at: Checkpoint,
}

impl Scan {
    /// Goes on where the last one was interrupted; from the start, if the order has grown meanwhile, or what
    /// was written down is not of one piece (a write that came late).
    async fn resume(table: &Table, ended_at: Checkpoint) -> Result<Self> {
        let new = Self {
            run: Uuid::new_v4().to_string(),
            seen: Seen::default(),
            from: None,
            changesets: 0,
            quarantined: 0,
            is_done: false,
            ended_at,
        };
        let saved = identity::pieces(table, PROGRESS).await?;
        Ok(Self::restore(&saved, ended_at)?.unwrap_or(new))
    }

    fn restore(saved: &[Item], ended_at: Checkpoint) -> Result<Option<Self>> {
        let Some((progress, pieces)) = saved.split_first() else { return Ok(None) };
        let is_progress = item::to_number(progress, CHANGESET_ID)? == 0;
        if !is_progress || item::to_number(progress, ENDED_AT)? != ended_at.get() {
            return Ok(None);
        }
        let changesets = item::to_number(progress, CHANGESETS)?;
        let run = item::to_text(progress, RUN)?;
        let mut seen = Seen::default();
        let pieces = pieces.get(..usize::try_from(item::to_number(progress, PIECES)?).unwrap_or(usize::MAX));
        let Some(pieces) = pieces else { return Ok(None) };
        for (at, saved) in (0..).zip(pieces) {
            if item::to_text(saved, RUN)? != run || item::to_number(saved, CHANGESETS)? < changesets {
                return Ok(None);
            }
            let piece = saved.get(SEEN).and_then(|value| value.as_b().ok());
            seen.restore(at, PIECE_WORDS, piece.map_or(&[], |piece| piece.as_ref()));
        }
        let from = match (item::to_text(progress, AT_STREAM), item::to_number(progress, AT_CHANGESET)) {
            (Ok(stream), Ok(id)) => Some(item::key(stream, id)),
            _ => None,
        };
        let is_done = progress.contains_key(IS_SCANNED);
        let quarantined = item::to_number(progress, QUARANTINED).unwrap_or(0);
        Ok(Some(Self { run: run.to_owned(), seen, from, changesets, quarantined, is_done, ended_at }))
    }

    async fn finish(
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
        done.quarantined = self.quarantined;
        Ok(())
    }

    async fn part(&mut self, table: &Table, done: &mut Adopted) -> Result<()> {
        let scan = || {
            let call = table.client.scan().table_name(&*table.name).consistent_read(true);
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            call.set_exclusive_start_key(self.from.clone()).send()
        };
        let answer = table.call(scan).await.map_err(failed)?;
        for found in answer.items().iter().filter(|item| !item::is_reserved(item)) {
            self.changesets += 1;
            if let Some(quarantined) = item::to_changeset(found)?.events.quarantined() {
                self.quarantined += 1;
                let (stream_id, changeset_id) = (&found[STREAM_ID], &found[CHANGESET_ID]);
                tracing::warn!(
                    ?stream_id,
                    ?changeset_id,
                    why = quarantined.reason(),
                    "a changeset is quarantined"
                );
            }
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
        let mut pieces = 0;
        for (at, piece) in self.seen.pieces(PIECE_WORDS) {
            let mut saved = self.saved_as(at + 1);
            saved.insert(SEEN.to_owned(), item::bytes(piece));
            put(table, saved).await?;
            pieces = at + 1;
        }
        let mut progress = self.saved_as(0);
        progress.insert(PIECES.to_owned(), number(pieces));
        progress.insert(QUARANTINED.to_owned(), number(self.quarantined));
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

    fn saved_as(&self, at: u64) -> Item {
        let mut saved = item::key(PROGRESS, at);
        saved.insert(RUN.to_owned(), text(self.run.as_str()));
        saved.insert(CHANGESETS.to_owned(), number(self.changesets));
        saved
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
