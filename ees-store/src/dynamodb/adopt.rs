//! Takes over a table that another system has created and written, in place.
//!
//! In such a table, some checkpoints may have no changeset, and some changesets no checkpoint. A strongly
//! consistent scan finds both, once. The adoption records the gaps, so that readers can distinguish them from
//! late entries, and assigns the next free checkpoints to the changesets without one.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_sdk_dynamodb::Config;
use uuid::Uuid;

use super::counter::{self, Counter};
use super::error::failed;
use super::holes::Seen;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID, number, text};
use super::misplaced::{Misplaced, Misplacement};
use super::options::Options;
use super::place::{self, Placing, placing};
use super::plan::Candidate;
use super::table::Table;
use super::worker::Worker;
use super::{foreign, identity, mend, scan, sweep};
use crate::{Checkpoint, Error, Result};

/// How far a scan has come, and what it has seen: for going on after a crash.
const PROGRESS: &str = "!!!RESERVED:ADOPTION!!!";
const IS_SCANNED: &str = "is_scanned";
/// Where the order ended when the scan began.
const ENDED_AT: &str = "ended_at";
const CHANGESETS: &str = "changesets";
const QUARANTINED: &str = "quarantined";
const SEEN: &str = "seen";
const PIECES: &str = "pieces";
const RUN: &str = "run";
const UNPLACED: &str = "unplaced";
/// Changesets whose place is none.
const MISPLACED: &str = "misplaced";
/// Places that were seen twice.
const TWICE: &str = "twice";
/// Of those at most so many are remembered: 80 KB.
const TWICE_MAX: usize = 10_000;
/// How far behind the counter of another system may be. A place beyond is none: each before it takes a bit.
const BEHIND_MAX: u64 = 1_000_000;
/// Where there is no counter at all, no place is beyond this: a gigabyte of bits.
const PLACES_MAX: u64 = 10_000_000_000;
/// Words of 64 places in one piece: a million places.
const PIECE_WORDS: usize = 16_384;
/// By then a transaction has written all that it writes. It takes some 25 ms.
const SETTLES: Duration = Duration::from_secs(5);
/// Calls between two times that progress is written down: a hundred megabytes.
const SAVE_EVERY: u64 = 100;

/// What an adoption does with changesets whose place in the order can't be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMisplaced {
    /// Report them in [`Adopted::misplaced`], and adopt nothing.
    #[default]
    Refuse,
    /// Give them new places behind all others. What that means for readers is what [`mend`](fn@super::mend) says.
    Mend,
}

/// What an adoption found and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adopted {
    /// Whether the table was adopted before. Then the call only looked for changesets without a checkpoint.
    pub is_known: bool,
    /// Whether it was refused, because of `misplaced`: then nothing was adopted or changed.
    pub is_refused: bool,
    /// The changesets whose place in the order can't be right, or could not before. Empty in a table that was
    /// adopted before: [`mend`](fn@super::mend) looks at all places there.
    pub misplaced: Vec<Misplaced>,
    /// The number of streams with a changeset that could not get a checkpoint. The log says which and why.
    pub set_aside: u64,
    /// The number of changesets in the table.
    pub changesets: u64,
    /// The number of them that have no checkpoint nevertheless. Not 0 means that something went on writing to the table:
    /// stop it and adopt again. Counted where fewer got one than were found without, and no stream was set aside; not
    /// in a table that was adopted before.
    pub without_checkpoint: u64,
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
/// Some places can't be right: half a place, or numbers that are none; one that is a million beyond the counter;
/// one that another changeset has too. `on_misplaced` says whether that refuses the adoption. A refused one begins
/// anew the next time.
///
/// Checkpoints without a changeset are recorded as gaps. Changesets without a checkpoint get the next free
/// ones. A changeset whose checkpoint is before that of its predecessor in the stream keeps it.
///
/// If another system has made the table, and it has a stream of changes, it first waits 10 seconds for the other
/// system's indexer to show itself.
///
/// # Errors
/// [`Error::InvalidRequest`] when the table lacks something, the other system's indexer still runs, or the
/// other system still writes to the table.
pub async fn adopt(
    config: impl Into<Config>,
    table: &str,
    on_misplaced: OnMisplaced,
    mut told: impl FnMut(u64) + Send,
) -> Result<Adopted> {
    let (table, layout) = Table::find(config, table, Options::default().patience).await?;
    let (table, told) = (&table, &mut told);
    // A log that is being moved here is none to be adopted.
    counter::look(table).await?;
    let is_ours = identity::find(table).await?.is_some_and(|identity| !identity.is_adopted());
    if layout.stream.is_some() && !is_ours {
        foreign::must_be_stopped(table).await?;
    }
    let mut done = Adopted::default();
    let mut unplaced = 0;
    if !is_adopted(table, &mut done).await? {
        unplaced = establish(table, on_misplaced, &mut done, told).await?;
        if done.is_refused {
            return Ok(done);
        }
    }
    index_the_rest(table, &mut done).await?;
    if done.indexed < unplaced && done.set_aside == 0 {
        // A read that was not consistent has missed some, or another process was faster.
        index_the_rest(table, &mut done).await?;
    }
    if done.indexed < unplaced && done.set_aside == 0 {
        done.without_checkpoint = count_unplaced(table).await?;
    }
    for misplaced in &mut done.misplaced {
        let now = table.get(item::key(misplaced.stream_id.as_str(), misplaced.changeset_id.get())).await?;
        misplaced.moved_to = now.as_ref().and_then(|now| place::of(now, table.format));
    }
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
    // What has its place before the scan begins, the scan sees: what it does not see up to there is a hole. A
    // transaction of a server may have moved the counter, and be about to write the places.
    tokio::time::sleep(SETTLES).await;
    let mut scan = Scan::resume(&table, done.head, done.head).await?;
    scan.finish(&table, &mut done, &mut told).await?;
    let holes = scan.seen.holes(done.head);
    done.holes = holes.count();
    let adoption = Uuid::new_v4().to_string();
    identity::save_holes(&table, &adoption, &holes).await?;
    identity::replace_holes(&table, &adoption).await?;
    Ok(done)
}

/// Finds the holes, and names the log. The counter then stands where the order ends, also where there was
/// none, or one that had fallen behind. How many changesets have no place now.
async fn establish(
    table: &Table,
    on_misplaced: OnMisplaced,
    done: &mut Adopted,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<u64> {
    let known = table.get(counter::key()).await?;
    let before = known.as_ref().map(Counter::of).transpose()?;
    let stood = before.unwrap_or(Counter::start(table.format));
    let limit = before.map_or(Checkpoint::new(PLACES_MAX), |before| before.next().plus(BEHIND_MAX));
    let mut scan = Scan::resume(table, stood.next(), limit).await?;
    scan.finish(table, done, told).await?;
    let misplaced = scan.misplaced(table).await?;
    done.misplaced = misplaced.iter().map(|(_, misplaced)| misplaced.clone()).collect();
    if !misplaced.is_empty() {
        if on_misplaced == OnMisplaced::Refuse {
            // Somebody may mend them by hand: what was seen then is outdated.
            Scan::forget(table).await?;
            done.is_refused = true;
            return Ok(0);
        }
        mend::take_away(table, &misplaced).await?;
        if scan.twice.len() >= TWICE_MAX {
            Scan::forget(table).await?;
            return Err(Error::InvalidRequest(format!(
                "{TWICE_MAX} places or more have several changesets; those found first are mended; adopt again"
            )));
        }
    }
    let unplaced = scan.unplaced + misplaced.len() as u64;
    done.head = scan.seen.end().max(stood.next());
    let holes = scan.seen.holes(done.head);
    done.holes = holes.count();
    // Under a name of its own: a late run, which has seen checkpoints assigned since, changes nothing.
    let adoption = Uuid::new_v4().to_string();
    identity::save_holes(table, &adoption, &holes).await?;
    let mut counter = known.unwrap_or_default();
    counter.extend(stood.at(done.head).item());
    counter::complete(&mut counter);
    if identity::create(table, before, counter, Some(&adoption)).await? || is_adopted(table, done).await? {
        return Ok(unplaced);
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
    /// Changesets without a place.
    unplaced: u64,
    /// Changesets whose place is none.
    misplaced: u64,
    /// Places that were seen twice: by two changesets, or in a part that was read twice.
    twice: BTreeSet<u64>,
    /// No place is this or beyond.
    limit: Checkpoint,
    is_done: bool,
    ended_at: Checkpoint,
}

impl Scan {
    /// Goes on where the last one was interrupted; from the start, if the order has grown meanwhile, or what
    /// was written down is not of one piece (a write that came late).
    async fn resume(table: &Table, ended_at: Checkpoint, limit: Checkpoint) -> Result<Self> {
        let new = Self {
            run: Uuid::new_v4().to_string(),
            seen: Seen::default(),
            from: None,
            changesets: 0,
            quarantined: 0,
            unplaced: 0,
            misplaced: 0,
            twice: BTreeSet::new(),
            limit,
            is_done: false,
            ended_at,
        };
        let saved = identity::pieces(table, PROGRESS).await?;
        Ok(Self::restore(&saved, ended_at, limit)?.unwrap_or(new))
    }

    fn restore(saved: &[Item], ended_at: Checkpoint, limit: Checkpoint) -> Result<Option<Self>> {
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
        let is_done = progress.contains_key(IS_SCANNED);
        let quarantined = item::to_number(progress, QUARANTINED).unwrap_or(0);
        // One of an earlier version has not looked at the places.
        let (Ok(unplaced), Ok(misplaced)) =
            (item::to_number(progress, UNPLACED), item::to_number(progress, MISPLACED))
        else {
            return Ok(None);
        };
        let twice = progress.get(TWICE).and_then(|value| value.as_b().ok());
        let (places, _) = twice.map_or(&[][..], |twice| twice.as_ref()).as_chunks::<8>();
        Ok(Some(Self {
            run: run.to_owned(),
            seen,
            from: scan::position(progress),
            changesets,
            quarantined,
            unplaced,
            misplaced,
            twice: places.iter().map(|place| u64::from_le_bytes(*place)).collect(),
            limit,
            is_done,
            ended_at,
        }))
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
        let part = scan::part(table, self.from.as_ref()).await?;
        for found in part.items.iter().filter(|item| !item::is_reserved(item)) {
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
            match placing(found, table.format) {
                Placing::Missing => self.unplaced += 1,
                Placing::At(place) if place < self.limit => {
                    if !self.seen.mark(place) && self.twice.len() < TWICE_MAX {
                        self.twice.insert(place.get());
                    }
                }
                Placing::At(_) | Placing::Malformed => self.misplaced += 1,
            }
        }
        done.calls += 1;
        done.read_units += part.read_units;
        self.from = part.next;
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
        progress.insert(UNPLACED.to_owned(), number(self.unplaced));
        progress.insert(MISPLACED.to_owned(), number(self.misplaced));
        let twice: Vec<u8> = self.twice.iter().flat_map(|place| place.to_le_bytes()).collect();
        progress.insert(TWICE.to_owned(), item::bytes(twice));
        progress.insert(ENDED_AT.to_owned(), number(self.ended_at.get()));
        scan::remember(&mut progress, self.from.as_ref())?;
        if self.is_done {
            progress.insert(IS_SCANNED.to_owned(), number(1));
        }
        put(table, progress).await
    }

    /// The changesets whose place can't be right. They are only counted while the table is scanned, since the
    /// next process goes on with the count.
    async fn misplaced(&self, table: &Table) -> Result<Vec<(Item, Misplaced)>> {
        let twice: Vec<_> = self.twice.iter().map(|place| Checkpoint::new(*place)).collect();
        let mut found = mend::doubled(table, &twice).await?;
        if self.misplaced > 0 {
            let look = |item: &Item| {
                let why = match placing(item, table.format) {
                    _ if item::is_reserved(item) => return Ok(()),
                    Placing::Malformed => Misplacement::Malformed,
                    Placing::At(checkpoint) if checkpoint >= self.limit => {
                        Misplacement::NeverGiven { checkpoint }
                    }
                    Placing::Missing | Placing::At(_) => return Ok(()),
                };
                found.push((item.clone(), Misplaced::new(item, why)?));
                Ok(())
            };
            table.scan(look).await?;
        }
        Ok(found)
    }

    /// The next one begins at the start.
    async fn forget(table: &Table) -> Result<()> {
        let key = item::key(PROGRESS, 0);
        let delete = || table.client.delete_item().table_name(&*table.name).set_key(Some(key.clone())).send();
        table.call(delete).await.map(drop).map_err(failed)
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

async fn count_unplaced(table: &Table) -> Result<u64> {
    let (mut unplaced, mut from) = (0, None);
    loop {
        let part = sweep::part(table, from).await?;
        for Candidate { stream_id, changeset_id, .. } in part.found {
            // The scan may have seen it as it was.
            let now = table.get(item::key(stream_id.as_str(), changeset_id.get())).await?;
            unplaced += u64::from(now.is_some_and(|now| placing(&now, table.format) == Placing::Missing));
        }
        from = part.next;
        if from.is_none() {
            return Ok(unplaced);
        }
    }
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
            done.set_aside = worker.set_aside().load(Relaxed) as u64;
            return Ok(());
        }
    }
}
