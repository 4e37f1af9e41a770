//! The log as an event stream.

use std::time::Duration;

use super::super::answer::Answer;
use super::{Next, PART_BYTES, PART_CHANGESETS, Source, text};
use crate::shared_log::{Arrived, Identity, Interest, SharedLog, Watch};
use crate::{ChangesetLog as _, Checkpoint, Filter, LogEntry, LogHead, LogQuery, Result};

/// How long one read waits at a place of which the shared log knows nothing: behind the end, or late.
const WAIT: Duration = Duration::from_secs(5);

/// What a filter accepts of the log.
pub(in super::super) struct OfLog {
    log: SharedLog,
    from: Checkpoint,
    filter: Filter,
    positions: bool,
    /// Whether it has been at the end of the log. Until then the log is read page by page.
    is_caught_up: bool,
    /// From then on, its place among those who wait there.
    watch: Option<Watch>,
    head: Option<LogHead>,
}

impl OfLog {
    pub(in super::super) fn new(log: SharedLog, from: Checkpoint, filter: Filter, positions: bool) -> Self {
        Self { log, from, filter, positions, is_caught_up: false, watch: None, head: None }
    }

    /// The events of changesets, or that there were none.
    fn events<'a>(&self, entries: impl Iterator<Item = &'a LogEntry>) -> Next {
        let filter = self.filter.matcher();
        let mut events = String::new();
        for entry in entries.filter(|entry| filter.accepts(entry)) {
            let mut data = Answer::with_capacity(entry.size_bytes() + 256);
            data.log_entry(entry, self.positions);
            let place = entry.checkpoint.next().get();
            text::push_event(&mut events, Some(place), "changeset", &data.into_text());
        }
        if events.is_empty() { Next::PassedOver } else { Next::Events(events) }
    }

    /// Waits at the end of the log, of the one that was read so far.
    fn watch(&mut self) {
        let identity = self.head.as_ref().map(Identity::of);
        self.watch = self.log.watch(self.from, Interest::of_filter(&self.filter), identity);
    }

    /// Takes what has arrived; `None` when the log itself has to be read.
    fn take(&mut self) -> Option<Next> {
        match self.watch.as_ref()?.take(PART_BYTES) {
            Arrived::Changesets(entries, rest) => {
                self.from = self.from.max(rest);
                let is_nothing = entries.is_empty();
                let events = self.events(entries.iter().map(|entry| &**entry));
                Some(if is_nothing { Next::Nothing } else { events })
            }
            Arrived::Behind(place) => {
                self.from = self.from.max(place);
                self.watch = None;
                None
            }
            Arrived::Ended => Some(Next::Reopened),
        }
    }
}

impl Source for OfLog {
    async fn read(&mut self) -> Result<Next> {
        if self.is_caught_up && self.watch.is_none() {
            self.watch();
        }
        if let Some(next) = self.take() {
            return Ok(next);
        }
        let query = LogQuery { max_bytes: PART_BYTES, ..LogQuery::from(self.from, PART_CHANGESETS) };
        let page = self.log.read(query.with_filter(self.filter.clone())).await?;
        let before = self.head.replace(page.head.clone());
        if before.is_some_and(|before| Identity::of(&before) != Identity::of(&page.head)) {
            return Ok(Next::Reopened);
        }
        self.is_caught_up |= page.next >= page.head.checkpoint;
        if page.next > self.from {
            self.from = page.next;
            return Ok(self.events(page.changesets.iter()));
        }
        if page.head.checkpoint > self.from {
            // It is late, and no end.
            self.arrival().await;
            return Ok(Next::PassedOver);
        }
        if self.log.join_ring(self.from, &page.head).await {
            self.watch();
        }
        Ok(self.take().unwrap_or(Next::Nothing))
    }

    async fn arrival(&mut self) {
        match &self.watch {
            Some(watch) => watch.arrival().await,
            None => {
                // What it finds, or why it does not, the next read tells.
                let _ = self.log.read(LogQuery::from(self.from, 1).with_wait(WAIT)).await;
            }
        }
    }

    fn place(&self) -> Option<u64> {
        Some(self.from.get())
    }

    fn following(&self) -> String {
        let mut data = Answer::new();
        data.number("next_checkpoint", self.from.get());
        if let Some(head) = self.log.known_head().filter(|_| self.positions) {
            data.log_head(&head);
        }
        data.into_text()
    }
}
