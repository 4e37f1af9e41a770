//! Lets a reactor act on changesets, in the order of the log or on several streams at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use ees_store::StreamId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::error::{BoxError, is_caused_by};
use crate::reactor::{Interrupted, Ledger, PermanentError, Unfinished, Unrecorded};
use crate::worker::batch::Batch;
use crate::worker::error::StepError;
use crate::worker::reactor::effects::Effects;

/// The result of acting on a batch.
pub(crate) struct Executed {
    /// The number of changesets at the start of the batch that are done, except those that failed and the
    /// later ones of their streams.
    pub(crate) end: usize,
    /// The streams that failed, and where.
    pub(crate) failed: BTreeMap<StreamId, FailedAt>,
    /// Why the batch was not completed, if it was not.
    pub(crate) error: Option<StepError>,
}

impl Executed {
    /// Returns the result for a projection: it does nothing outside of a transaction, and only unreadable
    /// events have failed.
    pub(crate) fn of_projection(batch: &Batch) -> Self {
        Self { end: batch.changesets.len(), failed: unreadable(batch, &HashSet::new()), error: None }
    }
}

/// The first changeset of a stream that failed, and its error.
pub(crate) struct FailedAt {
    pub(crate) changeset: usize,
    pub(crate) error: BoxError,
}

/// Lets the reactor act on a batch, except on parked streams. Safe to drop: the effects that the ledger does
/// not have as done are repeated.
pub(crate) async fn execute(
    effects: &dyn Effects,
    batch: &Batch,
    parked: &HashSet<StreamId>,
    ledger: &dyn Ledger,
) -> Executed {
    let mut executed =
        Executed { end: batch.changesets.len(), failed: unreadable(batch, parked), error: None };
    let comes_before_failure = |event: &usize| {
        let failed = executed.failed.get(batch.stream_of(*event));
        failed.is_none_or(|failed| batch.changeset_of(*event) < failed.changeset)
    };
    let events: Vec<usize> = (0..batch.len())
        .filter(|event| !parked.contains(batch.stream_of(*event)))
        .filter(comes_before_failure)
        .collect();
    match effects.settings().streams_at_once {
        0 | 1 => in_log_order(effects, batch, events, &mut executed, ledger).await,
        at_once => several_at_once(effects, batch, &events, at_once, &mut executed, ledger).await,
    }
    let end = executed.end;
    executed.failed.retain(|_, failed| failed.changeset < end);
    executed
}

/// Returns the streams with unreadable events. The reactor can't act on these events, now or later.
fn unreadable(batch: &Batch, parked: &HashSet<StreamId>) -> BTreeMap<StreamId, FailedAt> {
    let mut failed = BTreeMap::new();
    for (&changeset, error) in &batch.unreadable {
        let stream = &batch.changesets[changeset].stream_id;
        if !parked.contains(stream) && !failed.contains_key(stream) {
            let error = PermanentError::because(error.clone()).into();
            failed.insert(stream.clone(), FailedAt { changeset, error });
        }
    }
    failed
}

async fn in_log_order(
    effects: &dyn Effects,
    batch: &Batch,
    events: Vec<usize>,
    executed: &mut Executed,
    ledger: &dyn Ledger,
) {
    let mut left = events;
    while !left.is_empty() {
        let Err(interrupted) = effects.react(batch, &left, ledger).await else { return };
        let Some(at) = executed.interrupted(&left, batch, interrupted, effects) else { return };
        let failed = batch.stream_of(left[at]);
        left = left[at + 1..].iter().filter(|event| batch.stream_of(**event) != failed).copied().collect();
    }
}

async fn several_at_once(
    effects: &dyn Effects,
    batch: &Batch,
    events: &[usize],
    at_once: usize,
    executed: &mut Executed,
    ledger: &dyn Ledger,
) {
    let mut number = HashMap::new();
    let mut streams: Vec<Vec<usize>> = Vec::new();
    for &event in events {
        let stream = *number.entry(batch.stream_of(event)).or_insert_with(|| {
            streams.push(Vec::new());
            streams.len() - 1
        });
        streams[stream].push(event);
    }
    let mut streams = streams.iter();
    let mut acting = FuturesUnordered::new();
    loop {
        while acting.len() < at_once
            && let Some(events) = streams.next()
        {
            acting.push(async move { (events, effects.react(batch, events, ledger).await) });
        }
        match acting.next().await {
            Some((events, Err(interrupted))) => {
                executed.interrupted(events, batch, interrupted, effects);
            }
            Some((_, Ok(()))) => {}
            None => return,
        }
    }
}

impl Executed {
    /// Records that some events of a stream were not done: the stream is parked, or the whole reactor waits.
    fn interrupted(
        &mut self,
        events: &[usize],
        batch: &Batch,
        interrupted: Interrupted,
        effects: &dyn Effects,
    ) -> Option<usize> {
        let Interrupted { done, error } = interrupted;
        let at = done.min(events.len().checked_sub(1)?);
        let changeset = batch.changeset_of(events[at]);
        if is_caused_by::<Unfinished>(&*error) {
            self.end = self.end.min(changeset);
            return None;
        }
        // No further effect may begin, in other streams either.
        let is_over = is_caused_by::<Unrecorded>(&*error);
        if !is_over && !effects.is_transient(&*error) {
            let stream = batch.stream_of(events[at]).clone();
            self.failed.insert(stream, FailedAt { changeset, error });
            return Some(at);
        }
        if changeset < self.end {
            self.end = changeset;
            self.error = Some(StepError::Outside(error));
        }
        None
    }
}
