//! Estimates the cost of a rebuild from a sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::database::{Database, Transaction};
use crate::projection_state::ProjectionState;
use crate::read_model_id::Slot;
use crate::standby::SideBySide;
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;

/// The estimated cost of a rebuild. The first changesets of the log were applied as a sample, and rolled
/// back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// The number of changesets to replay, including those that a filter leaves out.
    pub changesets: u64,
    /// Changesets per second in the sample. `None` if the log is empty.
    pub rate: Option<f64>,
    /// The estimated time in seconds at that rate.
    pub seconds: Option<f64>,
    /// The size of the live read model in bytes, with its indexes, if the database can tell. A rebuild side
    /// by side needs about this much more space.
    pub read_model_bytes: Option<u64>,
}

impl Estimate {
    pub(crate) fn of(head: Checkpoint, sample: Option<(u64, f64)>, read_model_bytes: Option<u64>) -> Self {
        let changesets = head.get();
        let rate =
            sample.filter(|(applied, _)| *applied > 0).map(|(applied, time)| applied as f64 / time.max(1e-6));
        Self { changesets, rate, seconds: rate.map(|rate| changesets as f64 / rate), read_model_bytes }
    }
}

impl<D: Database> Core<D> {
    /// Applies the first changesets of the log in a transaction, rolls it back, and extrapolates.
    pub(crate) async fn estimate(self: Arc<Self>) -> Result<Estimate, StepError> {
        let head = self.log.head().await?.checkpoint;
        if !D::SIDE_BY_SIDE {
            return Ok(Estimate::of(head, None, None));
        }
        let sample = Arc::new(self.onto(Slot::Scratch));
        let mut portion = self.batch();
        loop {
            let began = Instant::now();
            let batch = sample.fetch(Checkpoint::START, portion, Duration::ZERO).await?;
            let (reading, end) = (began.elapsed(), batch.next.get());
            let (core, sample) = (self.clone(), sample.clone());
            let tried = self.run(async move { core.try_out(&sample, &batch, head).await });
            match tried.await {
                Err(StepError::TooLarge { .. }) if portion.changesets > 1 => portion.changesets /= 2,
                tried => {
                    let (bytes, applying) = tried?;
                    let seconds = (reading + applying).as_secs_f64();
                    return Ok(Estimate::of(head, Some((end, seconds)), bytes));
                }
            }
        }
    }

    /// Applies a batch to a new read model, in a transaction that is rolled back. Returns the size of the live
    /// one, and the time.
    async fn try_out(
        &self,
        sample: &Self,
        batch: &Batch,
        head: Checkpoint,
    ) -> Result<(Option<u64>, Duration), StepError> {
        let mut tx = self.begin().await?;
        let bytes = tx.size_bytes(self.id()).await?;
        let live = tx.load(self.id()).await?;
        sample.make_standby(&mut tx, SideBySide::default().into(), head, Vec::new(), None).await?;
        let began = Instant::now();
        if let Some(first) = batch.reference(0) {
            let at = ProjectionState::new(self.processor.version()).position;
            let is_left_out = |event: &usize| {
                let entry = &batch.changesets[batch.changeset_of(*event)];
                live.as_ref().is_some_and(|live| live.leaves_out(entry))
            };
            let events: Vec<_> = (0..batch.len()).filter(|event| !is_left_out(event)).collect();
            sample.apply_events(batch, &events, at, first, &mut tx).await?;
        }
        Ok((bytes, began.elapsed()))
    }
}
