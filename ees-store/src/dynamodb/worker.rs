//! Gives changesets their place in the global order, in batches.
//!
//! One transaction moves the counter by compare-and-set and gives up to 99 changesets their places: all of it
//! happens, or nothing. So there is no half-done state to repair, and no hole; and of two indexers that meet
//! one loses, waits for its turn, looks what is left to do and where the counter is, and goes on.
//!
//! An attempt that is lost costs as much as one that is won. So an indexer that has met another one lately
//! first asks whether a transaction on the counter is under way. That is a read, for the price of a fraction.
//! Where much waits it then has its turn: it places several batches without asking in between, the others find it
//! under way each time they ask, and it leaves the counter to them afterwards. That is a courtesy: what is right is
//! decided by the counter's compare-and-set alone.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use tokio::time::Instant;

use super::attempt::{Obstruction, obstruction};
use super::counter::{self, Counter};
use super::error::{failed, hopeless, is_too_large, reasons, unbuilt};
use super::head::Head;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID};
use super::known::Known;
use super::misplaced::misplacement;
use super::place;
use super::plan::{BATCH_MAX, Candidate, arrange, batch_length};
use super::stuck::{Obstacle, Stuck};
use super::table::{Table, names, values};
use crate::{ChangesetId, Checkpoint, Error, Result, StreamId};

/// Streams whose last indexed changeset is remembered.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// The longest pause after another indexer was faster.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Batches of a turn, at most. What more waits is somebody else's first.
const TURN: u32 = 10;
/// A turn ends when nothing was placed for so long: others may have asked twice meanwhile, and have taken theirs.
const TURN_ENDS: Duration = Duration::from_millis(20);
/// How long an indexer leaves the counter to others after its turn: about as long as they pause.
const LEAVES: Duration = PAUSE_MAX;
/// From so many changesets on an indexer looks twice whether the counter is free. What may be between two batches of
/// somebody's turn is worth a second look, where a lost attempt costs more.
const LOOKS_TWICE_FROM: usize = 10;
/// For how long after it has met another one an indexer asks before it writes.
const ASKS_FOR: Duration = Duration::from_secs(60);
/// Longer than a transaction takes, and than an indexer pauses between two: where the counter has not moved for
/// so long, nobody is at work.
const TRANSACTION: Duration = Duration::from_millis(50);
/// How often in a row an indexer lets others go first that are at the same changesets.
const HANGS_BACK: u32 = 5;

/// Indexes changesets. Any number of them may be at work on one table.
pub(super) struct Worker {
    table: Table,
    head: Option<Arc<Head>>,
    /// Where the counter was last seen, unless it has moved since.
    counter: Option<Counter>,
    known: Known,
    stuck: Stuck,
    /// Changesets in one batch, at most: fewer after a batch was too large, and then again more with each that
    /// was not.
    batch_max: usize,
    /// How often in a row others were faster, or under way.
    lost: u32,
    /// When it last met another indexer.
    met_at: Option<Instant>,
    /// Whether that one was giving places to some of the same changesets.
    at_the_same: bool,
    turn: Turn,
}

/// The batches that an indexer that has met others places without asking in between.
#[derive(Default)]
struct Turn {
    left: u32,
    /// When the last one was placed.
    placed_at: Option<Instant>,
    /// Whether somebody else has had the counter since the turn before.
    is_shared: bool,
}

impl Turn {
    fn goes_on(&self) -> bool {
        self.left > 0 && self.placed_at.is_some_and(|placed_at| placed_at.elapsed() < TURN_ENDS)
    }
}

impl Worker {
    pub(super) fn new(table: Table, head: Option<Arc<Head>>) -> Self {
        let (known, stuck) = (Known::new(KNOWN_MAX), Stuck::new());
        Self {
            table,
            head,
            counter: None,
            known,
            stuck,
            batch_max: BATCH_MAX,
            lost: 0,
            met_at: None,
            at_the_same: false,
            turn: Turn::default(),
        }
    }

    /// How many streams are set aside, for those who watch.
    pub(super) fn set_aside(&self) -> Arc<AtomicUsize> {
        self.stuck.count()
    }

    /// The streams that are set aside, each with the changeset at which it is stuck.
    pub(super) fn stuck(&self) -> impl Iterator<Item = (&StreamId, ChangesetId)> {
        self.stuck.streams()
    }

    /// When it is worth calling [`index`](Self::index) with nothing: a stream that is set aside may go on.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.stuck.due_at()
    }

    /// The next call of [`index`](Self::index) sees whether streams that are set aside were mended.
    pub(super) fn hurry(&mut self) {
        self.stuck.hurry();
    }

    /// Indexes all of these, and what has to go before them, but for streams that are stuck. How many it
    /// were; what is left after an error stays.
    pub(super) async fn index(&mut self, waiting: &mut Vec<Candidate>) -> Result<usize> {
        let mut deadline = Instant::now() + self.table.patience;
        let mut indexed = 0;
        self.look_at_stuck(waiting).await?;
        *waiting = arrange(std::mem::take(waiting));
        self.known.leave_out(waiting);
        let mut hung_back = 0;
        loop {
            self.stuck.leave_out(waiting);
            if waiting.is_empty() {
                return Ok(indexed);
            }
            let length = batch_length(waiting, self.batch_max);
            // In its turn it asks for nothing else: others would find the counter free meanwhile.
            let ahead =
                if self.has_met_others() && !self.has_turn() { TURN as usize * BATCH_MAX } else { length };
            let before = self.unindexed_before(&waiting[..ahead.clamp(length, waiting.len())]).await?;
            let is_stuck = self.stuck.leave_out(waiting);
            if !before.is_empty() || is_stuck {
                *waiting = arrange(before.into_iter().chain(waiting.drain(..)).collect());
                continue;
            }
            let counter = match self.counter {
                Some(counter) if !self.has_met_others() || self.has_turn() => counter,
                known => {
                    let counter = self.wait_for_turn(length, deadline).await?;
                    if self.is_beside_others_at_the_same() {
                        let is_less = self.forget_indexed(waiting, length).await?;
                        // Somebody is at it, and may do the rest too.
                        let is_busy = known != Some(counter) && hung_back < HANGS_BACK;
                        if is_busy || is_less {
                            hung_back += 1;
                            continue;
                        }
                    }
                    counter
                }
            };
            hung_back = 0;
            match self.give_places(&waiting[..length], counter).await? {
                Outcome::Done => {
                    indexed += length;
                    waiting.drain(..length);
                    // Much may wait, and others too: what counts is that it goes on.
                    deadline = Instant::now() + self.table.patience;
                }
                Outcome::Smaller | Outcome::Stuck => {}
                Outcome::Known if self.forget_indexed(waiting, length).await? => {}
                // Nothing explains it: the item changes all the time.
                Outcome::Known if Instant::now() > deadline => return Err(Error::Overloaded),
                Outcome::Known => self.pause().await,
                Outcome::Met if Instant::now() > deadline => return Err(Error::Overloaded),
                Outcome::Met => self.lost += 1,
            }
        }
    }

    /// Adds what was left out of streams that can go on by now.
    async fn look_at_stuck(&mut self, waiting: &mut Vec<Candidate>) -> Result<()> {
        let due = self.stuck.due();
        let read = due.iter().filter(|it| !it.is_full);
        let keys: Vec<_> = read.map(|it| item::key(it.stream_id.as_str(), it.changeset_id.get())).collect();
        let mut stay = HashSet::new();
        for item in self.table.places(keys).await? {
            if misplacement(&self.table, &mut self.counter, &item).await?.is_some() {
                stay.insert(StreamId::stored(item::to_text(&item, STREAM_ID)?));
            }
        }
        for it in due {
            if stay.contains(&it.stream_id) {
                self.stuck.stays(&it.stream_id);
            } else {
                waiting.extend(self.stuck.goes_on(&it.stream_id));
            }
        }
        Ok(())
    }

    /// Whether this changeset has its place. One whose place can't be right has none, and its stream is set
    /// aside.
    async fn is_placed(&mut self, item: &Item, candidate: &Candidate) -> Result<bool> {
        if let Some(why) = misplacement(&self.table, &mut self.counter, item).await? {
            self.stuck.add(candidate, Obstacle::Misplaced(why));
            return Ok(false);
        }
        let is_placed = place::of(item, self.table.format).is_some();
        if is_placed {
            self.known.remember(&candidate.stream_id, candidate.changeset_id);
        }
        Ok(is_placed)
    }

    /// What a batch needs indexed before it: nothing, nearly always. One call for all streams of the batch
    /// tells, and one more for each that was left behind, however far.
    async fn unindexed_before(&mut self, batch: &[Candidate]) -> Result<Vec<Candidate>> {
        let asked = self.known.unknown_before(batch);
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let keys = asked.iter().map(|(stream, id)| item::key(stream.as_str(), id.get())).collect();
        let mut found = Vec::new();
        for item in self.table.places(keys).await? {
            let candidate = item::candidate(&item)?;
            if !self.is_placed(&item, &candidate).await? {
                found.extend(self.unindexed_up_to(&candidate.stream_id, candidate.changeset_id).await?);
            }
        }
        Ok(found)
    }

    /// The changesets of a stream without a place, from this one back to one that has its place.
    async fn unindexed_up_to(&mut self, stream: &StreamId, last: ChangesetId) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let query = || {
                let call = self.table.client.query().table_name(&*self.table.name).consistent_read(true);
                let call = call.key_condition_expression("#s = :s AND #c BETWEEN :first AND :last");
                let call =
                    call.set_expression_attribute_names(names([("#s", STREAM_ID), ("#c", CHANGESET_ID)]));
                let call = call.set_expression_attribute_values(values([
                    (":s", item::text(stream.as_str())),
                    (":first", item::number(1)),
                    (":last", item::number(last.get())),
                ]));
                call.scan_index_forward(false).set_exclusive_start_key(from.clone()).send()
            };
            let answer = self.table.call(query).await.map_err(failed)?;
            for item in answer.items.iter().flatten() {
                let candidate = item::candidate(item)?;
                if self.is_placed(item, &candidate).await? {
                    return Ok(found);
                }
                found.push(candidate);
            }
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    /// One transaction.
    async fn give_places(&mut self, batch: &[Candidate], counter: Counter) -> Result<Outcome> {
        let first = counter.next();
        let end = first.plus(batch.len() as u64);
        let Some(last) = batch.last() else { return Ok(Outcome::Done) };
        let moved = counter.advance(&self.table, end, (last.stream_id.as_str(), last.changeset_id.get()))?;
        let mut actions = vec![TransactWriteItem::builder().update(moved).build()];
        for (at, candidate) in (first.get()..).zip(batch) {
            let update = placed(&self.table, candidate, Checkpoint::new(at))?;
            actions.push(TransactWriteItem::builder().update(update).build());
        }
        let Err(error) = self.table.transact_unless_contended(&actions).await else {
            self.counter = Some(counter.advanced(&self.table, end));
            self.lost = 0;
            self.turn.left = self.turn.left.saturating_sub(1);
            self.turn.placed_at = Some(Instant::now());
            self.batch_max = (self.batch_max + self.batch_max.div_ceil(8)).min(BATCH_MAX);
            for candidate in batch {
                self.known.remember(&candidate.stream_id, candidate.changeset_id);
            }
            if let Some(head) = &self.head {
                head.reached(end);
            }
            return Ok(Outcome::Done);
        };
        self.counter = None;
        if is_too_large(&error) && batch.len() > 1 {
            self.batch_max = batch.len() / 2;
            self.counter = Some(counter);
            return Ok(Outcome::Smaller);
        }
        // The counter's own is the first: whatever is in its way concerns all.
        let stuck =
            hopeless(&error).into_iter().filter_map(|(at, why)| Some((batch.get(at.checked_sub(1)?)?, why)));
        let stuck: Vec<_> = stuck.collect();
        if !stuck.is_empty() {
            for (candidate, why) in stuck {
                let why = why.message().or(why.code()).unwrap_or_default();
                self.stuck.add(candidate, Obstacle::Full(why.to_owned()));
            }
            return Ok(Outcome::Stuck);
        }
        match obstruction(reasons(&error)) {
            Some(Obstruction::Known) => {
                self.counter = Some(counter);
                Ok(Outcome::Known)
            }
            Some(Obstruction::Met { at_the_same }) => {
                (self.met_at, self.at_the_same) = (Some(Instant::now()), at_the_same);
                Ok(Outcome::Met)
            }
            None => Err(failed(error)),
        }
    }

    fn has_met_others(&self) -> bool {
        self.met_at.is_some_and(|met_at| met_at.elapsed() < ASKS_FOR)
    }

    fn is_beside_others_at_the_same(&self) -> bool {
        self.has_met_others() && self.at_the_same
    }

    /// Whether others have seen it at work, and let it go on.
    fn has_turn(&self) -> bool {
        !self.at_the_same && self.turn.goes_on()
    }

    /// Waits until no other indexer is at the counter, and looks where it is: for a batch of this length.
    async fn wait_for_turn(&mut self, length: usize, deadline: Instant) -> Result<Counter> {
        let is_over = self.turn.placed_at.is_some_and(|placed_at| placed_at.elapsed() < TURN_ENDS);
        if self.is_beside_others_at_the_same() {
            tokio::time::sleep(TRANSACTION.mul_f64(1.0 + fastrand::f64())).await;
        } else if self.lost > 0 {
            self.pause().await;
        } else if self.turn.is_shared && is_over {
            tokio::time::sleep(LEAVES).await;
        }
        let own = self.counter;
        let looks_twice = length >= LOOKS_TWICE_FROM && self.has_met_others() && !self.at_the_same;
        let mut seen = None;
        loop {
            match counter::look_unless_moving(&self.table).await? {
                Some(counter) if !looks_twice || seen == Some(counter) => {
                    self.counter = Some(counter);
                    self.turn = Turn { left: TURN, is_shared: own != Some(counter), ..Turn::default() };
                    return Ok(counter);
                }
                _ if Instant::now() > deadline => return Err(Error::Overloaded),
                Some(counter) if seen.is_none() => seen = Some(counter),
                // Somebody is between two batches of a turn.
                other => {
                    seen = other;
                    self.pause().await;
                }
            }
        }
    }

    /// Another indexer was faster with some of the first `length`, or a record came twice: these are done.
    /// Whether there was any, or one that is set aside now.
    async fn forget_indexed(&mut self, waiting: &mut Vec<Candidate>, length: usize) -> Result<bool> {
        let batch: Vec<_> = waiting.drain(..length).collect();
        let keys = batch.iter().map(|it| item::key(it.stream_id.as_str(), it.changeset_id.get())).collect();
        let mut unindexed = HashSet::new();
        for item in self.table.places(keys).await? {
            let candidate = item::candidate(&item)?;
            if !self.is_placed(&item, &candidate).await? {
                unindexed.insert((candidate.stream_id, candidate.changeset_id));
            }
        }
        let left =
            batch.into_iter().filter(|it| unindexed.contains(&(it.stream_id.clone(), it.changeset_id)));
        let mut left: Vec<_> = left.collect();
        self.stuck.leave_out(&mut left);
        let is_less = left.len() < length;
        waiting.splice(..0, left);
        Ok(is_less)
    }

    /// The more often others were faster, or under way, the longer: each gets its turn, and at a random moment.
    async fn pause(&mut self) {
        let longest = Duration::from_millis(4 << self.lost.min(7)).min(PAUSE_MAX);
        self.lost += 1;
        tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
    }
}

/// What became of a batch.
enum Outcome {
    Done,
    /// It was too much at once.
    Smaller,
    /// Some of it has its place already, or does not exist.
    Known,
    /// Another indexer is under way, or has moved the counter.
    Met,
    /// Some of it can't get a place, and is remembered.
    Stuck,
}

fn placed(table: &Table, candidate: &Candidate, place: Checkpoint) -> Result<Update> {
    let key: Item = item::key(candidate.stream_id.as_str(), candidate.changeset_id.get());
    let given = place::given(place, table.format);
    let update = Update::builder().table_name(&*table.name).set_key(Some(key));
    let update = update.update_expression(given.expression);
    let update = update.condition_expression("attribute_exists(#s) AND attribute_not_exists(#p)");
    let update = update.set_expression_attribute_names(Some(given.names));
    update.set_expression_attribute_values(Some(given.values)).build().map_err(unbuilt)
}
