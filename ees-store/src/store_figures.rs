//! What a store counts of its own work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::Histogram;

/// What a store can say of its own work. The API shows it as metrics.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreFigures {
    /// What its writer has done since the store was opened.
    pub writer: Arc<WriterFigures>,
    /// Its connections that read, if it has any to a database elsewhere.
    pub connections: Option<Connections>,
    /// The streams that its indexer has set aside, if it has one: a changeset of each can't get its place in the
    /// global order, and those behind it wait.
    pub set_aside: Option<usize>,
}

impl StoreFigures {
    /// The figures of a store without connections.
    pub fn of_writer(writer: Arc<WriterFigures>) -> Self {
        Self { writer, connections: None, set_aside: None }
    }
}

/// Connections to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Those that are in use.
    pub busy: usize,
    /// Those that wait to be used.
    pub idle: usize,
}

/// What the writer of a store has done since the store was opened, counted in plain atomics.
#[derive(Debug)]
#[non_exhaustive]
pub struct WriterFigures {
    /// The commits in each group that was written in one transaction, refused ones too.
    pub group_commits: Histogram,
    /// The time in which each group was written, in microseconds.
    pub group_micros: Histogram,
    /// Changesets that were stored.
    pub changesets: AtomicU64,
    /// Events that were stored.
    pub events: AtomicU64,
    /// Groups that could not be written and were tried again.
    pub retries: AtomicU64,
    /// The ends of streams that are kept in memory, if any are.
    pub tails: Option<CacheFigures>,
}

/// How often something was found in memory.
#[derive(Debug, Default)]
pub struct CacheFigures {
    /// It was there.
    pub hits: AtomicU64,
    /// It was read.
    pub misses: AtomicU64,
}

impl Default for WriterFigures {
    fn default() -> Self {
        Self {
            group_commits: Histogram::from(1),
            group_micros: Histogram::from(125),
            changesets: AtomicU64::new(0),
            events: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            tails: None,
        }
    }
}

impl WriterFigures {
    /// The figures of a writer that keeps the ends of streams in memory.
    pub fn with_tails() -> Self {
        Self { tails: Some(CacheFigures::default()), ..Self::default() }
    }

    /// Counts a group that was written, in which so much was stored.
    pub fn wrote(&self, commits: usize, took: Duration, changesets: u64, events: u64) {
        self.group_commits.record(commits as u64);
        self.group_micros.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.changesets.fetch_add(changesets, Relaxed);
        self.events.fetch_add(events, Relaxed);
    }
}
