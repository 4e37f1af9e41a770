//! Replays some streams in memory, by the fold's own code, as far as a read model has applied them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ees_store::{ChangesetId, Checkpoint, LogEntry, StreamId};
use futures::{FutureExt, StreamExt, stream};

use super::standing::{Became, Standing};
use crate::database::Database;
use crate::error::{chain, panicked};
use crate::explanation::{LeftOut, WhyLeftOut};
use crate::rebuilt_streams::RebuildStreams;
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::explain::explainable::Explainable;
use crate::worker::explain::named_keys::{NamedKeys, SharedRow};
use crate::worker::explain::observed::{BYTES_MAX, Observed, TooManyRows, Unconcerned};
use crate::worker::operations::operation::OperateError;

/// Streams that are read at the same time.
const STREAMS_AT_ONCE: usize = 8;
/// Changesets of one stream that are read before they are applied.
const READ_AT_ONCE: usize = 100;
/// The most changesets that are listed as left out.
const LEFT_OUT_MAX: usize = 100;

/// A replay of some streams, and the rows that they have made so far.
pub(super) struct Replay {
    streams: Vec<Replayed>,
    pub(super) observed: Observed,
    /// The log up to here is not read by a projection that subscribes from a time.
    begin: Checkpoint,
    /// Where the read model was when the replay reached it. `None` if the rows are not those of any position.
    reached: Option<Arc<Standing>>,
    pub(super) replayed: u64,
    left_out: BTreeMap<(StreamId, ChangesetId), LeftOut>,
}

struct Replayed {
    stream_id: StreamId,
    /// The changeset that is applied next.
    next: ChangesetId,
}

/// Changesets of one stream, in order.
struct Portion {
    batches: Vec<Batch>,
    /// The changeset after them.
    next: ChangesetId,
    /// Whether the read model has applied no more of the stream.
    is_last: bool,
    parked: Option<LeftOut>,
}

impl Replay {
    /// A replay that has not begun.
    pub(super) async fn new<D: Database>(
        core: &Core<D>,
        explainable: &dyn Explainable<D::Tx>,
        wanted: Vec<StreamId>,
    ) -> Result<Self, OperateError> {
        let wanted = BTreeSet::from_iter(wanted);
        let max = RebuildStreams::STREAMS_MAX;
        if !(1..=max).contains(&wanted.len()) {
            let count = wanted.len();
            return Err(OperateError::Failed(format!(
                "name 1 to {max} streams in one rebuild, not {count}: more of them in several calls, or rebuild the \
                 whole projection"
            )));
        }
        let mut observed = Observed::of_streams();
        explainable.create_tables(&mut observed).await.map_err(|error| OperateError::failed(&error))?;
        let streams = wanted.into_iter().map(|stream_id| Replayed { stream_id, next: ChangesetId::new(1) });
        Ok(Self {
            streams: streams.collect(),
            observed,
            begin: core.passed_unread(Checkpoint::START).await?,
            reached: None,
            replayed: 0,
            left_out: BTreeMap::new(),
        })
    }

    /// Returns the streams, in order.
    pub(super) fn streams(&self) -> impl ExactSizeIterator<Item = &StreamId> {
        self.streams.iter().map(|stream| &stream.stream_id)
    }

    /// Returns the first of the changesets that were left out.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.values().take(LEFT_OUT_MAX).cloned().collect()
    }

    /// Returns the keys that the events named.
    pub(super) fn named(&self) -> Option<&NamedKeys> {
        self.observed.named.as_ref()
    }

    /// Returns `true` if it has been where the read model is now, or before that on the same way.
    pub(super) fn goes_on_to(&self, standing: &Standing) -> bool {
        let next = self.streams.iter().map(|stream| (&stream.stream_id, stream.next));
        self.reached.as_ref().is_some_and(|before| standing.goes_on_from(before, next))
    }

    /// Replays what the read model has applied and this replay has not.
    pub(super) async fn run_to<D: Database>(
        &mut self,
        core: &Arc<Core<D>>,
        explainable: &dyn Explainable<D::Tx>,
        standing: &Arc<Standing>,
    ) -> Result<(), OperateError> {
        if !self.goes_on_to(standing) {
            self.begin_again();
        }
        // Whatever fails below leaves rows of no position.
        let before = self.reached.take();
        if before.is_none_or(|before| !standing.is_at(&before, self.streams())) {
            self.read_and_apply(core, explainable, standing).await?;
        }
        self.reached = Some(standing.clone());
        Ok(())
    }

    fn begin_again(&mut self) {
        self.observed = self.observed.emptied();
        self.reached = None;
        self.replayed = 0;
        self.left_out.clear();
        self.streams.iter_mut().for_each(|stream| stream.next = ChangesetId::new(1));
    }

    async fn read_and_apply<D: Database>(
        &mut self,
        core: &Arc<Core<D>>,
        explainable: &dyn Explainable<D::Tx>,
        standing: &Arc<Standing>,
    ) -> Result<(), OperateError> {
        let read = |stream_id: StreamId, next: ChangesetId| {
            read_portion(core.clone(), standing.clone(), stream_id, next).boxed()
        };
        let begun: Vec<_> =
            self.streams.iter().map(|stream| read(stream.stream_id.clone(), stream.next)).collect();
        let mut portions = stream::iter(begun).buffered(STREAMS_AT_ONCE);
        let mut number = 0;
        while let Some(portion) = portions.next().await {
            let mut portion = portion?;
            loop {
                self.apply_portion(explainable, standing, number, &portion).await?;
                if portion.is_last {
                    break;
                }
                portion = read(self.streams[number].stream_id.clone(), portion.next).await?;
            }
            number += 1;
        }
        Ok(())
    }

    async fn apply_portion<Tx>(
        &mut self,
        explainable: &dyn Explainable<Tx>,
        standing: &Standing,
        number: usize,
        portion: &Portion,
    ) -> Result<(), OperateError> {
        if let Some(named) = &mut self.observed.named {
            named.stream_id = Some(self.streams[number].stream_id.clone());
        }
        for batch in &portion.batches {
            if let Some(entry) = batch.changesets.first().filter(|entry| entry.checkpoint >= self.begin) {
                self.apply(explainable, standing, batch, entry).await?;
            }
        }
        self.streams[number].next = portion.next;
        if let Some(parked) = portion.parked.clone() {
            self.leave_out(parked);
        }
        Ok(())
    }

    async fn apply<Tx>(
        &mut self,
        explainable: &dyn Explainable<Tx>,
        standing: &Standing,
        batch: &Batch,
        entry: &LogEntry,
    ) -> Result<(), OperateError> {
        self.replayed += 1;
        let is_skipped = standing.state.leaves_out(entry);
        if is_skipped {
            self.leave_out(left_out(
                entry.checkpoint,
                &entry.stream_id,
                entry.changeset_id,
                WhyLeftOut::Skipped,
            ));
        } else if let Some(unreadable) = batch.unreadable.get(&0) {
            return Err(refused_by(entry, &unreadable.to_string()));
        }
        self.observed.only_looks = is_skipped;
        for event in batch.events_of(0..1) {
            let event = [event];
            let applying = explainable.apply(batch, &event, &mut self.observed);
            let applied = AssertUnwindSafe(applying).catch_unwind().await;
            match applied.unwrap_or_else(|panic| Err(panicked("the projection", &*panic))) {
                Ok(()) => {}
                Err(error) if error.is::<TooManyRows>() => {
                    return Err(OperateError::Failed(format!(
                        "these streams make more than {} MiB of rows, the most that one rebuild keeps in memory: name \
                         fewer, or rebuild the whole projection",
                        BYTES_MAX / 1024 / 1024
                    )));
                }
                Err(error) if error.is::<SharedRow>() => {
                    return Err(OperateError::Failed(format!(
                        "{error}: so the projection needs Order::Log, and the rows of one stream can't be rebuilt \
                         alone. Rebuild the whole projection"
                    )));
                }
                // What was skipped may fail: only its keys are of interest.
                Err(error) if is_skipped || error.is::<Unconcerned>() => {}
                Err(error) => return Err(refused_by(entry, &chain(&*error))),
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, left_out: LeftOut) {
        self.left_out.insert((left_out.stream_id.clone(), left_out.changeset_id), left_out);
    }
}

/// Reads changesets of a stream that a read model has applied.
async fn read_portion<D: Database>(
    core: Arc<Core<D>>,
    standing: Arc<Standing>,
    stream_id: StreamId,
    mut next: ChangesetId,
) -> Result<Portion, OperateError> {
    let mut batches = Vec::new();
    while batches.len() < READ_AT_ONCE {
        let found = core.log.locate(&stream_id, next).await.map_err(StepError::from)?;
        if found.is_none() && next.get() == 1 {
            return Err(OperateError::NoChangeset { stream_id, changeset_id: next });
        }
        let at = match found.map(|at| (at, standing.became(&stream_id, next, at))) {
            Some((at, Became::Passed)) => at,
            Some((at, Became::Parked)) => {
                let parked = Some(left_out(at, &stream_id, next, WhyLeftOut::Parked));
                return Ok(Portion { batches, next, is_last: true, parked });
            }
            Some((_, Became::Ahead)) | None => {
                return Ok(Portion { batches, next, is_last: true, parked: None });
            }
        };
        batches.push(core.fetch_changeset(at).await?);
        next = next.next();
    }
    Ok(Portion { batches, next, is_last: false, parked: None })
}

fn left_out(
    checkpoint: Checkpoint,
    stream_id: &StreamId,
    changeset_id: ChangesetId,
    why: WhyLeftOut,
) -> LeftOut {
    LeftOut { checkpoint, stream_id: stream_id.clone(), changeset_id, why }
}

/// The current code can't do what the read model has done before.
fn refused_by(entry: &LogEntry, why: &str) -> OperateError {
    let LogEntry { checkpoint, .. } = entry;
    let (stream_id, changeset_id) = (&entry.stream_id, entry.changeset_id);
    OperateError::Failed(format!(
        "changeset {changeset_id} of stream \"{stream_id}\" (checkpoint {checkpoint}) can't be applied again, although \
         the projection has passed it: {why}. Nothing was changed. Correct the code, or leave the stream out"
    ))
}
