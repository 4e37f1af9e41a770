//! Estimates the cost of a rebuild from a sample.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::database::{Database, Transaction};
use crate::projection_state::ProjectionState;
use crate::read_model_id::Slot;
use crate::segment_progress::SegmentProgress;
use crate::standby::SideBySide;
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;

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
    /// What a rebuild by segments costs, if the projection and its log can do that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_segments: Option<SegmentsEstimate>,
}

/// The estimated cost of a rebuild by segments of the log. The first changesets of the first segment were applied as
/// a sample, and rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct SegmentsEstimate {
    /// Changesets per second in the sample. `None` if the log is empty.
    pub rate: Option<f64>,
    /// The estimated time in seconds at that rate, with one worker.
    pub seconds: Option<f64>,
    /// The read units for all segments, if the database of the log charges any.
    pub read_units: Option<f64>,
}

impl SegmentsEstimate {
    /// The price of a million read units in US dollars: on demand, in us-east-1, since November 2024.
    pub const PRICE: f64 = 0.125;
}

impl Estimate {
    pub(crate) fn of(head: Checkpoint, sample: Option<(u64, f64)>, read_model_bytes: Option<u64>) -> Self {
        let changesets = head.get();
        let rate = rate_of(sample);
        let seconds = rate.map(|rate| changesets as f64 / rate);
        Self { changesets, rate, seconds, read_model_bytes, by_segments: None }
    }
}

/// Changesets per second in a sample of as many in so many seconds.
fn rate_of(sample: Option<(u64, f64)>) -> Option<f64> {
    sample.filter(|(applied, _)| *applied > 0).map(|(applied, time)| applied as f64 / time.max(1e-6))
}

/// What a sample took.
struct Sampled {
    changesets: u64,
    seconds: f64,
    read_model_bytes: Option<u64>,
    read_units: Option<f64>,
}

impl<D: Database> Core<D> {
    /// Applies the first changesets of the log in a transaction, rolls it back, and extrapolates.
    pub(crate) async fn estimate(self: Arc<Self>) -> Result<Estimate, StepError> {
        let head = self.log.head().await?.checkpoint;
        if !D::SIDE_BY_SIDE {
            return Ok(Estimate::of(head, None, None));
        }
        let start = ProjectionState::new(self.processor.version());
        let Sampled { changesets, seconds, read_model_bytes, .. } = self.sample(&start, head).await?;
        let estimate = Estimate::of(head, Some((changesets, seconds)), read_model_bytes);
        if self.check_by_segments().is_err() || head == Checkpoint::START {
            return Ok(estimate);
        }
        let segment = Some(SegmentProgress::begin(1, head));
        let sampled = match self.sample(&ProjectionState { segment, ..start }, head).await {
            Ok(sampled) => sampled,
            // What is known of an ordinary rebuild is told nevertheless. The right to scan is one that others do not need.
            Err(error) => {
                let error = OperateError::from(error);
                tracing::warn!(%error, "a rebuild by segments can't be estimated");
                return Ok(estimate);
            }
        };
        let of_all = |part: f64| part / sampled.changesets.max(1) as f64 * head.get() as f64;
        let rate = rate_of(Some((sampled.changesets, sampled.seconds)));
        let by_segments = SegmentsEstimate {
            rate,
            seconds: rate.map(|rate| head.get() as f64 / rate),
            read_units: sampled.read_units.map(of_all),
        };
        Ok(Estimate { by_segments: Some(by_segments), ..estimate })
    }

    /// Applies what comes first after a state, as much as fits a transaction.
    async fn sample(
        self: &Arc<Self>,
        start: &ProjectionState,
        head: Checkpoint,
    ) -> Result<Sampled, StepError> {
        let sample = Arc::new(self.onto(Slot::Scratch));
        let mut portion = self.batch();
        loop {
            let began = Instant::now();
            let batch = sample.fetch_next(start, portion, Duration::ZERO).await?;
            let reading = began.elapsed();
            let part = batch.segment.as_ref();
            let changesets = part.map_or(batch.next.get(), |part| part.passed);
            let read_units = part.and_then(|part| part.read_units);
            let (core, sample) = (self.clone(), sample.clone());
            let tried = self.run(async move { core.try_out(&sample, &batch, head).await });
            match tried.await {
                Err(StepError::TooLarge { .. }) if portion.changesets > 1 => portion.changesets /= 2,
                tried => {
                    let (read_model_bytes, applying) = tried?;
                    let seconds = (reading + applying).as_secs_f64();
                    return Ok(Sampled { changesets, seconds, read_model_bytes, read_units });
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
        sample.make_standby(&mut tx, SideBySide::default().into(), head, Vec::new(), None, false).await?;
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
