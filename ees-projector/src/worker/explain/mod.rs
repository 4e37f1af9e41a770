//! Explains a row: replays the events that it depends on, by the fold's own code, and tells what each did to it.
//!
//! `explainable` is the fold, `observed` the database that it writes to meanwhile (`named_keys` is for a replay of whole
//! streams); `steps` collects what is told, and `progress` tells how far it is. Here is which changesets are replayed:
//! those that the projection has applied.

pub(crate) mod explainable;
pub(in crate::worker) mod named_keys;
pub(in crate::worker) mod observed;
pub(crate) mod progress;
pub(in crate::worker) mod steps;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ees_store::{ChangesetId, Checkpoint, LogEntry, StreamId, Timestamp, json};
use futures::FutureExt;

use self::explainable::Explainable;
use self::observed::{Keeps, Observed, TooManyRows, Unconcerned};
use self::progress::{Progress, Replaying};
use self::steps::{Steps, json_of};
use crate::database::{Database, ParkedRows, Transaction};
use crate::error::{BoxError, chain, panicked};
use crate::explanation::{Explain, ExplainProgress, Explanation, WhyLeftOut, Writer};
use crate::partition::Partition;
use crate::projection::Order;
use crate::projection_state::ProjectionState;
use crate::read_model::{ColumnType, Row, Table, Value};
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::reads_segments;

/// Changesets that are read at once.
const PAGE: usize = 1_000;
/// The most changesets of one stream that are looked up one by one, before the log is read instead.
const LOOKED_UP_MAX: u64 = 1_000;
/// How often a row that is another one in the database is looked at again, because the projection has moved on.
const LOOKS_MAX: usize = 5;

/// What a look at the read model has found: how far it is, and the row.
struct Look {
    state: ProjectionState,
    /// The positions of its partitions, or its only one.
    positions: Vec<Checkpoint>,
    /// The parked streams, each with its first parked changeset.
    parked: HashMap<StreamId, ChangesetId>,
    row: Option<Row>,
}

impl Look {
    fn end(&self) -> Checkpoint {
        self.positions.iter().copied().max().unwrap_or_default()
    }

    fn has_passed(&self, entry: &LogEntry) -> bool {
        let position = match u32::try_from(self.positions.len()) {
            Ok(count @ 2..) => self.positions[Partition::of(&entry.stream_id, count).index as usize],
            _ => self.end(),
        };
        entry.checkpoint < position
    }

    /// Returns `true` if a replay up to an earlier look goes on up to this one. One of several partitions does not: they
    /// were at different places.
    fn goes_on_from(&self, before: &Self) -> bool {
        let is_later = match (&self.positions[..], &before.positions[..]) {
            ([now], [then]) => now >= then,
            (now, then) => now == then,
        };
        is_later && self.parked == before.parked && self.state.skips == before.state.skips
    }

    fn leaves_out(&self, entry: &LogEntry) -> Option<WhyLeftOut> {
        let is_parked = self.parked.get(&entry.stream_id).is_some_and(|first| entry.changeset_id >= *first);
        if self.state.leaves_out(entry) {
            Some(WhyLeftOut::Skipped)
        } else {
            is_parked.then_some(WhyLeftOut::Parked)
        }
    }
}

impl<D: Database> Core<D> {
    /// Explains a row of this read model.
    pub(crate) async fn explain(
        self: Arc<Self>,
        wanted: Explain,
        progress: Arc<Progress>,
    ) -> Result<Explanation, OperateError> {
        let progress = progress.begin();
        self.processor.require_read_model()?;
        let explainable = self.explainable().ok_or(OperateError::NotSupported(
            "this projection has statements of its own: what an event does to a row is known to the database only, so \
             its rows can't be explained. Those of folds can",
        ))?;
        let table = find_table(&*explainable, wanted.table.as_deref()).await?;
        explainable.check_key(&table, &wanted.key).map_err(|why| OperateError::Failed(why.to_string()))?;
        match self.replay_for(&explainable, &table, &wanted, Keeps::OneRow, &progress).await? {
            Some(explanation) => Ok(explanation),
            None => {
                let all =
                    self.replay_for(&explainable, &table, &wanted, Keeps::Everything, &progress).await?;
                all.ok_or_else(|| OperateError::Failed("the events can't be applied again".to_owned()))
            }
        }
    }

    /// Returns `None` if the row depends on rows that were not kept.
    async fn replay_for(
        self: &Arc<Self>,
        explainable: &Arc<dyn Explainable<D::Tx>>,
        table: &Table,
        wanted: &Explain,
        keeps: Keeps,
        progress: &Replaying,
    ) -> Result<Option<Explanation>, OperateError> {
        let mut observed = Observed::new(&table.name, &wanted.key, keeps);
        explainable.create_tables(&mut observed).await.map_err(|error| OperateError::failed(&error))?;
        if observed.tables().len() > 1 {
            observed.keeps = Keeps::Everything;
        }
        let steps = Steps::new(wanted.steps_max);
        let mut replay =
            Replay { core: self, explainable, table, observed, progress, steps, next: None, replayed: 0 };
        let mut before: Option<Look> = None;
        for looks in 1.. {
            let look = self.look_at(explainable, table, &wanted.key).await?;
            if before.as_ref().is_some_and(|before| !look.goes_on_from(before)) {
                replay.begin_again();
            }
            if !replay.run_to(&look, &wanted.key).await? {
                return Ok(None);
            }
            let made = replay.observed.row();
            let is_stored = is_same(table, made, look.row.as_ref());
            // A database may have shown the row of a later position.
            if is_stored || looks == LOOKS_MAX || !self.has_moved(&look).await? {
                return replay
                    .finish(wanted, &look, is_stored)
                    .map(Some)
                    .map_err(|error| OperateError::failed(&error));
            }
            before = Some(look);
        }
        Ok(None)
    }

    /// Reads the position, what is parked, and the row.
    async fn look_at(
        self: &Arc<Self>,
        explainable: &Arc<dyn Explainable<D::Tx>>,
        table: &Table,
        key: &str,
    ) -> Result<Look, OperateError> {
        let (core, explainable) = (self.clone(), explainable.clone());
        let (table, key) = (table.clone(), key.to_owned());
        let read = self.read(move |tx| {
            async move {
                let Some(mut state) = tx.lock(core.id()).await? else { return Ok(None) };
                // While segments are read, this is refused below: it must not fence the workers off for that.
                let positions = if state.segment.is_none() && core.is_left_to_partitions(&state) {
                    core.know_skips(tx, &mut state).await?;
                    let partitions = tx.partitions(core.id(), true).await?;
                    partitions.into_iter().map(|row| row.state.position.next).collect()
                } else {
                    vec![state.position.next]
                };
                let parked = tx.parked(core.id()).await?;
                // Changes nothing, and is not committed. It makes the read model's tables those that are read.
                if !tx.replace(core.id(), state.position, &state).await? {
                    return Err(StepError::Fenced);
                }
                let row = explainable.stored(tx, &table, &key).await?;
                let parked = parked.into_iter().map(|stream| (stream.stream_id, stream.first)).collect();
                Ok(Some(Look { state, positions, parked, row }))
            }
            .boxed()
        });
        let look = read.await?.ok_or(OperateError::NeverStarted)?;
        self.verified_head([&look.state]).await?;
        match look.state.version == self.processor.version() {
            // Its rows are those of some streams, as of no checkpoint.
            true if look.state.segment.is_some() => Err(reads_segments()),
            true => Ok(look),
            false => Err(OperateError::Absent),
        }
    }

    async fn has_moved(self: &Arc<Self>, since: &Look) -> Result<bool, OperateError> {
        let core = self.clone();
        let positions = self.read(move |tx| {
            async move {
                let partitions = tx.partitions(core.id(), false).await?;
                let whole = tx.load(core.id()).await?.map(|state| state.position.next);
                let of_partitions: Vec<_> = partitions.iter().map(|row| row.state.position.next).collect();
                Ok(if of_partitions.is_empty() { whole.into_iter().collect() } else { of_partitions })
            }
            .boxed()
        });
        Ok(positions.await? != since.positions)
    }
}

/// Returns the table to explain a row of.
async fn find_table<Tx>(
    explainable: &dyn Explainable<Tx>,
    wanted: Option<&str>,
) -> Result<Table, OperateError> {
    let mut observed = Observed::new("", "", Keeps::Everything);
    explainable.create_tables(&mut observed).await.map_err(|error| OperateError::failed(&error))?;
    let tables = observed.tables();
    let names = || tables.iter().map(|table| &*table.name).collect::<Vec<_>>().join(", ");
    match (wanted, tables) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            Err(OperateError::Failed(format!("the projection has several tables; name one: {}", names())))
        }
        (Some(wanted), _) => tables.iter().find(|table| table.name == wanted).cloned().ok_or_else(|| {
            OperateError::Failed(format!("the projection has no table \"{wanted}\"; there are: {}", names()))
        }),
    }
}

/// A replay for one row.
struct Replay<'a, D: Database> {
    core: &'a Arc<Core<D>>,
    explainable: &'a Arc<dyn Explainable<D::Tx>>,
    table: &'a Table,
    observed: Observed,
    progress: &'a Replaying,
    steps: Steps,
    /// What is replayed, and where it goes on. `None` until that is known.
    next: Option<Next>,
    replayed: u64,
}

/// What is replayed, and where it goes on.
enum Next {
    OfStream(StreamId, ChangesetId),
    OfLog(Checkpoint),
}

impl<D: Database> Replay<'_, D> {
    /// Replays what the projection has applied and this replay has not. Returns `false` if rows are missing that were
    /// not kept.
    async fn run_to(&mut self, look: &Look, key: &str) -> Result<bool, OperateError> {
        if self.next.is_none() && self.core.processor.order() == Order::Stream {
            // Each row is of one stream. If it is of the one with its name, no other has to be read.
            if let Ok(stream_id) = StreamId::new(key) {
                self.next = Some(Next::OfStream(stream_id, ChangesetId::new(1)));
            }
        }
        if let Some(Next::OfStream(stream_id, id)) = &self.next {
            let (stream_id, id) = (stream_id.clone(), *id);
            match self.run_stream(stream_id, id, look).await? {
                Outcome::Done => return Ok(true),
                Outcome::RowsMissing => return Ok(false),
                Outcome::NotOfStream => self.begin_again(),
            }
        }
        let from = match self.next {
            Some(Next::OfLog(from)) => from,
            _ => Checkpoint::START,
        };
        self.run_log(from, look).await
    }

    /// Forgets what was replayed.
    fn begin_again(&mut self) {
        self.steps = self.steps.emptied();
        self.observed = self.observed.emptied();
        self.replayed = 0;
        self.next = None;
    }

    async fn run_stream(
        &mut self,
        stream_id: StreamId,
        mut id: ChangesetId,
        look: &Look,
    ) -> Result<Outcome, OperateError> {
        while let Some(at) = self.core.log.locate(&stream_id, id).await.map_err(StepError::from)? {
            if at >= look.end() {
                break;
            }
            if id.get() > LOOKED_UP_MAX {
                return Ok(Outcome::NotOfStream);
            }
            let batch = self.core.fetch_until(at, at.next(), 1).await?;
            if !self.apply(&batch, look).await? {
                return Ok(Outcome::RowsMissing);
            }
            id = id.next();
        }
        if !self.steps.is_about_anything() {
            return Ok(Outcome::NotOfStream);
        }
        self.next = Some(Next::OfStream(stream_id, id));
        Ok(Outcome::Done)
    }

    async fn run_log(&mut self, mut from: Checkpoint, look: &Look) -> Result<bool, OperateError> {
        let end = look.end();
        while from < end {
            self.progress.at(ExplainProgress { checkpoint: from, until: end });
            let batch = self.core.fetch_until(from, end, PAGE).await?;
            if batch.next <= from {
                return Err(OperateError::Unavailable(format!("the log ends before checkpoint {end}")));
            }
            if !self.apply(&batch, look).await? {
                return Ok(false);
            }
            from = batch.next;
        }
        self.next = Some(Next::OfLog(from));
        Ok(true)
    }

    /// Applies the events of a batch one by one. Returns `false` if that needs rows that were not kept.
    async fn apply(&mut self, batch: &Batch, look: &Look) -> Result<bool, OperateError> {
        for (changeset, entry) in batch.changesets.iter().enumerate() {
            if !look.has_passed(entry) {
                continue;
            }
            self.replayed += 1;
            let is_unreadable = batch.unreadable.contains_key(&changeset).then_some(WhyLeftOut::Unreadable);
            let why = look.leaves_out(entry).or(is_unreadable);
            self.observed.only_looks = why.is_some();
            let mut is_named = is_unreadable.is_some();
            for event in batch.events_of(changeset..changeset + 1) {
                if let Err(error) = self.apply_event(batch, event).await {
                    if error.is::<TooManyRows>() {
                        return Err(OperateError::failed(&error));
                    }
                    if self.observed.only_looks || error.is::<Unconcerned>() {
                        is_named |= self.observed.take_seen().is_named;
                        continue;
                    }
                    if self.observed.keeps == Keeps::OneRow {
                        return Ok(false);
                    }
                    let (checkpoint, why) = (entry.checkpoint, chain(&*error));
                    return Err(OperateError::Failed(format!(
                        "the changeset at checkpoint {checkpoint} can't be applied again, although the projection has \
                         passed it: {why}"
                    )));
                }
                let seen = self.observed.take_seen();
                is_named |= seen.is_named;
                match seen.change {
                    Some(change) => {
                        let text = batch.text_of(event);
                        let writer = Writer {
                            checkpoint: entry.checkpoint,
                            stream_id: entry.stream_id.clone(),
                            changeset_id: entry.changeset_id,
                            event_id: batch.event_id(event),
                            event_type: text.and_then(json::event_type).map(|name| name.into_owned()),
                        };
                        self.steps
                            .add(self.table, (entry, writer, text), change)
                            .map_err(|error| OperateError::failed(&error))?;
                    }
                    None => self.steps.without_effect += u64::from(seen.is_named),
                }
            }
            if let Some(why) = why.filter(|_| is_named) {
                self.steps.leave_out(entry, why);
            }
        }
        Ok(true)
    }

    async fn apply_event(&mut self, batch: &Batch, event: usize) -> Result<(), BoxError> {
        let applied = self.explainable.apply(batch, std::slice::from_ref(&event), &mut self.observed);
        AssertUnwindSafe(applied)
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(panicked("the projection", &*panic)))
    }

    fn finish(self, wanted: &Explain, look: &Look, is_stored: bool) -> Result<Explanation, BoxError> {
        let Self { table, observed, steps, next, replayed, .. } = self;
        let stored = if is_stored { None } else { json_of(table, look.row.as_ref())? };
        let stream_id = match next {
            Some(Next::OfStream(stream_id, _)) => Some(stream_id),
            _ => None,
        };
        Ok(Explanation {
            table: table.name.to_string(),
            key: wanted.key.clone(),
            checkpoint: look.end(),
            row: json_of(table, observed.row())?,
            is_stored,
            stored,
            steps_total: steps.total,
            steps: steps.kept(),
            written_by: steps.written_by,
            without_effect: steps.without_effect,
            left_out: steps.left_out,
            replayed,
            stream_id,
        })
    }
}

/// What came of the replay of one stream.
enum Outcome {
    Done,
    /// The row is not of this stream, or the stream is so long that the log is read instead.
    NotOfStream,
    RowsMissing,
}

/// Whether two rows are the same. A database may write a value in another form than it was given.
pub(in crate::worker) fn is_same(table: &Table, one: Option<&Row>, other: Option<&Row>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    one.len() == other.len()
        && table.columns.iter().zip(one.iter().zip(other)).all(|(column, (one, other))| match (one, other) {
            (Value::Json(one), Value::Json(other)) => one == other || is_same_json(one, other),
            (Value::Text(one), Value::Text(other)) if column.ty == ColumnType::Timestamp => {
                let read = |text: &str| text.parse::<Timestamp>().ok();
                one == other || (read(one).is_some() && read(one) == read(other))
            }
            (one, other) => one == other,
        })
}

fn is_same_json(one: &str, other: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    read(one).is_some_and(|one| Some(one) == read(other))
}
