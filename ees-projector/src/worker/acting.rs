//! Letting a reactor act upon changesets: one stream after the other in the order of the log, or several at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use ees_store::StreamId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::database::Database;
use crate::event::Recorded;
use crate::projection::{BoxError, Projection};
use crate::reactor::{Effects, Interrupted, Ledger, Refused, Unfinished, Unrecorded};
use crate::worker::batch::Batch;
use crate::worker::error::{StepError, is_caused_by};
use crate::worker::step::Core;

/// What came of the changesets of a batch.
pub(crate) struct Acted {
    /// So many at its front are done, but for those that failed and what follows them in their streams.
    pub(crate) end: usize,
    /// The streams that failed, and where.
    pub(crate) failed: BTreeMap<StreamId, FailedAt>,
    /// Why not more, if something went wrong.
    pub(crate) error: Option<StepError>,
}

/// The first changeset of a stream that failed, and why.
pub(crate) struct FailedAt {
    pub(crate) changeset: usize,
    pub(crate) error: BoxError,
}

impl Acted {
    /// Notes that a stream's events did not all go through: the stream waits, or all do.
    fn interrupted<E>(
        &mut self,
        events: &[Recorded<'_, E>],
        batch: &Batch<E>,
        interrupted: Interrupted,
        effects: &dyn Effects<E>,
    ) -> Option<usize> {
        let Interrupted { done, error } = interrupted;
        let at = done.min(events.len().checked_sub(1)?);
        let changeset = batch.index_of(&events[at]);
        if is_caused_by::<Unfinished>(&*error) {
            self.end = self.end.min(changeset);
            return None;
        }
        // Nothing more may be begun, in other streams neither.
        let is_over = is_caused_by::<Unrecorded>(&*error);
        if !is_over && !effects.is_transient(&*error) {
            let stream = events[at].stream_id().clone();
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

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Lets the reactor act upon a batch, but for the streams that wait. Safe to drop: what the ledger does not have as
    /// done is done again then.
    pub(crate) async fn act(
        &self,
        batch: &Batch<P::Event>,
        waiting: &HashSet<StreamId>,
        ledger: &dyn Ledger,
    ) -> Acted {
        let mut acted =
            Acted { end: batch.changesets.len(), failed: unreadable(batch, waiting), error: None };
        let Some(effects) = self.projection.effects() else { return acted };
        let events: Vec<_> = batch
            .events(0..batch.changesets.len())
            .filter(|event| !waiting.contains(event.stream_id()))
            .filter(|event| {
                let failed = acted.failed.get(event.stream_id());
                failed.is_none_or(|failed| batch.index_of(event) < failed.changeset)
            })
            .collect();
        match effects.settings().streams_at_once {
            0 | 1 => in_log_order(effects, batch, events, &mut acted, ledger).await,
            at_once => several_at_once(effects, batch, &events, at_once, &mut acted, ledger).await,
        }
        let end = acted.end;
        acted.failed.retain(|_, failed| failed.changeset < end);
        acted
    }
}

/// What is the reactor's and can't be read is not for it to act upon, now or later.
fn unreadable<E>(batch: &Batch<E>, waiting: &HashSet<StreamId>) -> BTreeMap<StreamId, FailedAt> {
    let mut failed = BTreeMap::new();
    for (&changeset, error) in &batch.unreadable {
        let stream = &batch.changesets[changeset].stream_id;
        if !waiting.contains(stream) && !failed.contains_key(stream) {
            let error = Refused::because(error.clone()).into();
            failed.insert(stream.clone(), FailedAt { changeset, error });
        }
    }
    failed
}

async fn in_log_order<E>(
    effects: &dyn Effects<E>,
    batch: &Batch<E>,
    events: Vec<Recorded<'_, E>>,
    acted: &mut Acted,
    ledger: &dyn Ledger,
) {
    let mut left = events;
    while !left.is_empty() {
        let Err(interrupted) = effects.react(&left, ledger).await else { return };
        let Some(at) = acted.interrupted(&left, batch, interrupted, effects) else { return };
        let failed = left[at].stream_id();
        left = left[at + 1..].iter().filter(|event| event.stream_id() != failed).copied().collect();
    }
}

async fn several_at_once<E>(
    effects: &dyn Effects<E>,
    batch: &Batch<E>,
    events: &[Recorded<'_, E>],
    at_once: usize,
    acted: &mut Acted,
    ledger: &dyn Ledger,
) {
    let mut number = HashMap::new();
    let mut streams: Vec<Vec<Recorded<'_, E>>> = Vec::new();
    for event in events {
        let stream = *number.entry(event.stream_id()).or_insert_with(|| {
            streams.push(Vec::new());
            streams.len() - 1
        });
        streams[stream].push(*event);
    }
    let mut streams = streams.iter();
    let mut acting = FuturesUnordered::new();
    loop {
        while acting.len() < at_once
            && let Some(events) = streams.next()
        {
            acting.push(one_stream(effects, events, ledger));
        }
        match acting.next().await {
            Some((events, Err(interrupted))) => {
                acted.interrupted(events, batch, interrupted, effects);
            }
            Some((_, Ok(()))) => {}
            None => return,
        }
    }
}

async fn one_stream<'a, E>(
    effects: &'a dyn Effects<E>,
    events: &'a [Recorded<'a, E>],
    ledger: &'a dyn Ledger,
) -> (&'a [Recorded<'a, E>], Result<(), Interrupted>) {
    (events, effects.react(events, ledger).await)
}
