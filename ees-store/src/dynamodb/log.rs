//! Reads of the global order.
//!
//! The index that enumerates it lags behind the table by moments, and its entries need not arrive in order.
//! So what is missing below the counter is waited for, never stepped over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::counter;
use super::head::Head;
use super::holes::Holes;
use super::item::{self, Item};
use super::order::{self, Ask};
use super::place::{PAGE_LENGTH, page_of};
use super::prefix::{Lies, Prefix};
use super::table::Table;
use crate::filter::Matcher;
use crate::{Checkpoint, LogEntry, LogPage, LogQuery, Result};

/// How long a late entry is waited for before a page ends in front of it.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Changesets a filtered read looks at before it answers, whatever it found.
const SCAN_MAX: usize = 10_000;
/// Bytes a filtered read looks at before it answers.
const SCAN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a filtered read looks before it answers.
const SCAN_TIME_MAX: Duration = Duration::from_secs(1);
/// A page that is full before the log's end is as good with an end that was read so long ago.
const HEAD_AGE_MAX: Duration = Duration::from_secs(1);

/// Who reads the log.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) table: &'a Table,
    pub(super) head: &'a Head,
    pub(super) holes: &'a Holes,
}

impl Reader<'_> {
    /// A page of the log, waiting for news if the query says so.
    pub(super) async fn read(self, query: &LogQuery) -> Result<LogPage> {
        let until = Instant::now().checked_add(query.wait);
        loop {
            let page = self.read_now(query).await?;
            if page.next > query.from || until.is_some_and(|until| Instant::now() >= until) {
                return Ok(page);
            }
            // Nothing at all, or nothing but late entries, of which no counter tells when they have come.
            let is_late = page.head.checkpoint > query.from;
            let news = async { if is_late { Ok(()) } else { self.head.wait_past(query.from).await } };
            match until {
                None => news.await?,
                Some(until) => match tokio::time::timeout_at(until, news).await {
                    Ok(arrived) => arrived?,
                    Err(_) => return Ok(page),
                },
            }
        }
    }

    async fn read_now(self, query: &LogQuery) -> Result<LogPage> {
        let known = self.head.known().checkpoint;
        let is_inside = query.from.plus(query.limit as u64) <= known;
        let head = if is_inside {
            self.head.within(HEAD_AGE_MAX, self.table).await?
        } else if query.wait.is_zero() {
            self.head.look(self.table).await?
        } else {
            let polled = self.head.polled(self.table).await?;
            // The caller has read on in another process: then it knows of more than the last poll.
            if polled.checkpoint < query.from { self.head.look(self.table).await? } else { polled }
        };
        let mut found = Found::new(query, self.holes);
        let mut late = Late::default();
        while found.next() < head.checkpoint && !found.is_full() {
            let before = found.next();
            let to = before.plus(order::places_within(self.table, found.room_bytes()));
            let to = to.min(found.part_end()).min(head.checkpoint);
            // Entries are late at the end of the log; elsewhere only after that has been seen.
            let ask = if to == head.checkpoint || late.is_seen() { Ask::FirstPlaceFirst } else { Ask::All };
            let part = order::part(self.table, before, to, ask).await?;
            for (place, entry) in part.entries {
                if !found.take(place, &entry)? {
                    break;
                }
            }
            let is_late = !found.is_full() && (found.next() < part.until || found.next() == before);
            if is_late && !late.pause(found.next() > before).await {
                break;
            }
        }
        Ok(LogPage::new(query.from, found.changesets, found.prefix.next(), head))
    }
}

/// Pauses for what is late: soon again at first, for a bounded time without any progress.
#[derive(Default)]
struct Late {
    since: Option<Instant>,
    pauses: u32,
}

impl Late {
    fn is_seen(&self) -> bool {
        self.since.is_some()
    }

    /// Whether it is worth looking again, after a pause.
    async fn pause(&mut self, progress: bool) -> bool {
        if progress {
            *self = Self::default();
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() > LATE_MAX {
            return false;
        }
        let pause = Duration::from_millis(5 << self.pauses.min(5));
        self.pauses += 1;
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        true
    }
}

/// What a read found so far, without a gap.
struct Found<'a> {
    query: &'a LogQuery,
    filter: Matcher<'a>,
    prefix: Prefix<'a>,
    changesets: Vec<LogEntry>,
    bytes: usize,
    seen: usize,
    seen_bytes: usize,
    started: Instant,
    is_cut: bool,
}

impl<'a> Found<'a> {
    fn new(query: &'a LogQuery, holes: &'a Holes) -> Self {
        let filter = query.filter.matcher();
        Self {
            query,
            filter,
            prefix: Prefix::new(query.from, holes),
            changesets: Vec::new(),
            bytes: 0,
            seen: 0,
            seen_bytes: 0,
            started: Instant::now(),
            is_cut: false,
        }
    }

    fn next(&self) -> Checkpoint {
        self.prefix.next()
    }

    /// Where the next call of the index ends at the latest: with the page, or with as many as are wanted.
    fn part_end(&self) -> Checkpoint {
        let end_of_page = (page_of(self.next()).0 + 1) * PAGE_LENGTH;
        let wanted = if self.query.filter.is_all() {
            self.query.limit.max(1).saturating_sub(self.changesets.len())
        } else {
            SCAN_MAX
        };
        self.next().plus(wanted as u64).min(Checkpoint::new(end_of_page))
    }

    /// How many bytes are looked at yet, at most.
    fn room_bytes(&self) -> usize {
        if self.query.filter.is_all() {
            self.query.max_bytes.saturating_sub(self.bytes)
        } else {
            SCAN_BYTES_MAX.saturating_sub(self.seen_bytes)
        }
    }

    fn is_full(&self) -> bool {
        let is_enough = || {
            self.seen >= SCAN_MAX
                || self.seen_bytes >= SCAN_BYTES_MAX
                || (self.seen > 0 && self.started.elapsed() >= SCAN_TIME_MAX)
        };
        self.is_cut
            || (!self.query.filter.is_all() && is_enough())
            || self.changesets.len() >= self.query.limit.max(1)
    }

    /// Passes over an item that is no changeset; `false` when something before it is late.
    ///
    /// The counter has the place of the newest changeset. Any other item of ours has a place only if the
    /// indexer of another system, left running, gave it one: no changeset will ever have that.
    fn pass_over(&mut self, place: Checkpoint, item: &Item) -> bool {
        let is_counter = item::to_text(item, item::STREAM_ID).is_ok_and(|id| id == counter::STREAM_ID);
        let lies = self.prefix.lies(place);
        if !is_counter && lies == Lies::Next {
            self.prefix.advance();
        }
        is_counter || lies != Lies::BehindAGap
    }

    /// Takes what comes next; `false` when it does not, or does not fit.
    fn take(&mut self, place: Checkpoint, item: &Item) -> Result<bool> {
        if item::is_reserved(item) {
            return Ok(self.pass_over(place, item));
        }
        match self.prefix.lies(place) {
            Lies::Before => return Ok(true),
            Lies::BehindAGap => return Ok(false),
            Lies::Next => {}
        }
        let indexed = item::to_indexed(item, place)?;
        if self.filter.accepts(&indexed) {
            let bytes = self.bytes + indexed.size_bytes();
            let is_full = self.changesets.len() >= self.query.limit.max(1) || bytes > self.query.max_bytes;
            if is_full && !self.changesets.is_empty() {
                self.is_cut = true;
                return Ok(false);
            }
            self.bytes = bytes;
            self.seen_bytes += indexed.size_bytes();
            self.changesets.push(indexed);
        } else {
            self.seen_bytes += indexed.size_bytes();
        }
        self.prefix.advance();
        self.seen += 1;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Changeset, Events, Filter, Json, Timestamp};

    fn stored(number: u64) -> Item {
        let changeset = Changeset {
            stream_id: "a".parse().unwrap(),
            changeset_id: (number + 1).into(),
            first_event_id: (number + 1).into(),
            events: Events::parse("[{\"type\": \"opened\"}]").unwrap(),
            metadata: Json::stored("{}"),
            timestamp: Timestamp::from_micros(1),
            stream_type: None,
            trace: None,
        };
        item::of_changeset(&changeset, Uuid::nil())
    }

    #[test]
    fn a_filtered_read_ends_in_time_and_says_how_far_it_came() {
        let filter = Filter { event_types: vec!["closed".to_owned()], ..Filter::default() };
        let (all, some) = (LogQuery::from(Checkpoint::START, 10), LogQuery::from(Checkpoint::START, 10));
        for (query, ends) in [(all, false), (some.with_filter(filter), true)] {
            let holes = Holes::default();
            let mut found = Found::new(&query, &holes);
            found.started = Instant::now().checked_sub(SCAN_TIME_MAX).unwrap();
            assert!(!found.is_full(), "each read makes some progress");
            assert!(found.take(Checkpoint::START, &stored(0)).unwrap());
            assert_eq!((found.is_full(), found.next()), (ends, Checkpoint::new(1)));
        }
    }
}
