//! The one algorithm: read and decode with no transaction open; then, in one (`transact`), fence, apply, commit.

use std::collections::HashSet;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use ees_store::{ChangesetLog, Checkpoint, Filter, LogPage, LogQuery, StreamId};
use futures::FutureExt;

use crate::control::{Applied, Control, Position};
use crate::database::{Database, ParkedRows, TooLarge};
use crate::event::Recorded;
use crate::partition::Partition;
use crate::projection::Projection;
use crate::settings::Settings;
use crate::slot::Slot;
use crate::worker::batch::{Batch, place_of};
use crate::worker::error::{StepError, chain, is_caused_by, panicked};
use crate::worker::span::Portion;
use crate::worker::transact::AsyncWork;

/// A projection, the database it writes and the log it reads.
pub(crate) struct Core<P, D> {
    pub(crate) projection: Arc<P>,
    pub(crate) database: Arc<D>,
    pub(crate) log: Arc<dyn ChangesetLog>,
    pub(crate) settings: Settings,
    slot: Slot,
    partition: Option<Partition>,
    name: String,
    key: String,
}

impl<P, D> Core<P, D> {
    /// Whether its streams are its partitions' by now, and nobody else's.
    pub(crate) fn is_dealt_out(&self, control: &Control) -> bool {
        control.split.is_some() && self.partition.is_none()
    }

    /// Which of the projection's read models it writes.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// The name under which the database keeps this read model; of the live one, the projection's.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the row with its position: that of the read model, or of a partition of it.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Which of the streams it is for; all when none.
    pub(crate) fn partition(&self) -> Option<Partition> {
        self.partition
    }
}

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    pub(crate) fn new(projection: P, database: D, log: Arc<dyn ChangesetLog>, settings: Settings) -> Self {
        let name = Slot::Live.name_of(projection.name());
        let (projection, database) = (Arc::new(projection), Arc::new(database));
        Self {
            projection,
            database,
            log,
            settings,
            slot: Slot::Live,
            partition: None,
            key: name.clone(),
            name,
        }
    }

    /// The same projection onto another of its read models.
    pub(crate) fn onto(&self, slot: Slot) -> Self {
        Self {
            projection: self.projection.clone(),
            database: self.database.clone(),
            log: self.log.clone(),
            settings: self.settings,
            slot,
            partition: None,
            key: slot.name_of(self.projection.name()),
            name: slot.name_of(self.projection.name()),
        }
    }

    /// The same projection for some of its streams.
    pub(crate) fn onto_partition(&self, partition: Partition) -> Self {
        Self { partition: Some(partition), key: partition.key(&self.name), ..self.onto(self.slot) }
    }

    /// Reads and decodes what comes at a checkpoint. Safe to drop at any moment.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        from: Checkpoint,
        portion: Portion,
        wait: Duration,
    ) -> Result<Batch<P::Event>, StepError> {
        let query = LogQuery {
            max_bytes: portion.bytes,
            ..LogQuery::from(from, portion.changesets).with_wait(wait).with_filter(self.wanted())
        };
        let page = self.log.read(query.clone()).await.map_err(StepError::Log)?;
        let page = if portion.is_span { self.read_on(&query, page).await? } else { page };
        self.decode(from, page).await
    }

    /// What the log is asked for: its filter, by all names that the events have had.
    pub(crate) fn wanted(&self) -> Filter {
        self.projection.reading().upcasters().widened(self.projection.filter())
    }

    /// As [`fetch`](Self::fetch), without waiting, and nothing at or behind `end`.
    pub(crate) async fn fetch_until(
        self: &Arc<Self>,
        from: Checkpoint,
        end: Checkpoint,
        changesets: usize,
    ) -> Result<Batch<P::Event>, StepError> {
        let query = LogQuery {
            max_bytes: self.settings.batch_bytes_max,
            ..LogQuery::from(from, changesets).with_filter(self.wanted())
        };
        let mut page = self.log.read(query).await.map_err(StepError::Log)?;
        page.changesets.retain(|changeset| changeset.checkpoint < end);
        page.next = page.next.min(end);
        self.decode(from, page).await
    }

    async fn decode(
        self: &Arc<Self>,
        from: Checkpoint,
        mut page: LogPage,
    ) -> Result<Batch<P::Event>, StepError> {
        let (filter, reading) = (self.projection.filter(), self.projection.reading());
        // What is left out, here or by the log, counts too when the log is compared with what it was.
        let last = page.changesets.last().map(place_of).filter(|last| last.checkpoint.next() == page.next);
        if let Some(partition) = self.partition {
            page.changesets.retain(|changeset| partition.owns(&changeset.stream_id));
        }
        let mut batch = if page.changesets.len() < 50 {
            Batch::decode(from, page, &filter, &reading)
        } else {
            // Long enough to be felt by the other tasks of this thread.
            let decoded = tokio::task::spawn_blocking(move || Batch::decode(from, page, &filter, &reading));
            decoded.await.map_err(|e| StepError::Database(e.into()))?
        };
        batch.last = match last {
            None if batch.next > from => {
                let before = Checkpoint::new(batch.next.get() - 1);
                let page = self.log.read(LogQuery::from(before, 1)).await.map_err(StepError::Log)?;
                page.changesets.first().map(place_of).filter(|place| place.checkpoint == before)
            }
            last => last,
        };
        Ok(batch)
    }

    /// Applies some changesets of a batch and moves the position past them.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        from: &Control,
        batch: &Arc<Batch<P::Event>>,
        range: Range<usize>,
        parked: &Arc<HashSet<StreamId>>,
    ) -> Result<Control, StepError> {
        // The row may have been read anew since it was looked whose work this is: by now its streams are its partitions' to
        // apply, and nobody else's.
        if self.is_dealt_out(from) {
            return Err(StepError::Fenced);
        }
        let first = batch.place(range.start);
        let last = batch.passed_before(range.end);
        let to = from.advanced(batch.position_before(range.end), batch.head.log_id, last);
        let work = ApplyBatch {
            core: self.clone(),
            batch: batch.clone(),
            range,
            parked: parked.clone(),
            at: from.position,
        };
        self.transact(from, to.clone(), first, work).await?;
        Ok(to)
    }

    /// Runs the projection's own code. A panic in it is its error, not the end of the worker.
    pub(crate) async fn run_projection(
        &self,
        events: &[Recorded<'_, P::Event>],
        at: Position,
        place: Applied,
        tx: &mut D::Tx,
    ) -> Result<(), StepError> {
        if events.is_empty() {
            return Ok(());
        }
        let applied = AssertUnwindSafe(self.projection.apply_batch(events, tx)).catch_unwind().await;
        let error = match applied {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(panic) => panicked("the projection", &*panic),
        };
        if D::is_transient(&*error) {
            return Err(StepError::Database(error));
        }
        if is_caused_by::<TooLarge>(&*error) {
            return Err(StepError::TooLarge { at, place, error: chain(&*error) });
        }
        Err(StepError::Failed { at, place, error: chain(&*error) })
    }
}

struct ApplyBatch<P: Projection<D::Tx>, D: Database> {
    core: Arc<Core<P, D>>,
    batch: Arc<Batch<P::Event>>,
    range: Range<usize>,
    parked: Arc<HashSet<StreamId>>,
    at: Position,
}

impl<P: Projection<D::Tx>, D: Database> AsyncWork<D::Tx> for ApplyBatch<P, D> {
    async fn run(self, tx: &mut D::Tx) -> Result<(), StepError> {
        let Some(place) = self.batch.place(self.range.start) else { return Ok(()) };
        if self.parked.is_empty() {
            let events: Vec<_> = self.batch.events(self.range).collect();
            return self.core.run_projection(&events, self.at, place, tx).await;
        }
        let mut events = Vec::new();
        for changeset in self.range {
            let Some(waiting) = self.batch.place(changeset) else { continue };
            if self.parked.contains(&waiting.stream_id) {
                let retry_at = ees_store::Timestamp::now();
                tx.park(self.core.name(), &waiting, "", retry_at).await.map_err(StepError::Database)?;
            } else {
                events.extend(self.batch.events(changeset..changeset + 1));
            }
        }
        self.core.run_projection(&events, self.at, place, tx).await
    }
}

#[cfg(test)]
mod tests {
    use ees_store::{Commit, EventStore, Events, Expectation};

    use super::*;
    use crate::memory;
    use crate::partition::Split;
    use crate::projection::BoxError;

    struct Names;

    impl Projection<memory::Tx> for Names {
        type Event = serde_json::Value;
        fn name(&self) -> &str {
            "names"
        }
        async fn create_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
            Ok(())
        }
        async fn drop_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
            Ok(())
        }
        async fn apply(&self, _: Recorded<'_, Self::Event>, _: &mut memory::Tx) -> Result<(), BoxError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_dealt_out_to_partitions_is_not_applied_as_a_whole_too() {
        let log = Arc::new(ees_store::memory::Store::new());
        let opened = Events::parse(r#"[{"type":"opened"}]"#).unwrap();
        log.commit(Commit::new("a".parse().unwrap(), Expectation::NewStream, opened)).await.unwrap();
        let core = Arc::new(Core::new(Names, memory::Database::new(), log, Settings::default()));
        let (control, _) = core.start().await.unwrap();
        let batch = Arc::new(core.fetch(Checkpoint::START, core.batch(), Duration::ZERO).await.unwrap());
        let dealt_out = Control { split: Some(Split::into(4)), ..control.clone() };
        let applied = core.apply(&dealt_out, &batch, 0..1, &Arc::default()).await;
        assert!(matches!(applied, Err(StepError::Fenced)), "{applied:?}");
        let moved = core.apply(&control, &batch, 0..1, &Arc::default()).await.unwrap();
        assert_eq!(moved.position.next, Checkpoint::new(1));
    }
}
