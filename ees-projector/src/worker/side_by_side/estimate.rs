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
    /// The write units for all changesets, if the database of the read model charges any (DynamoDB): those of the
    /// rows and of the projection's own row, in as few transactions as there can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_units: Option<f64>,
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
    /// As [`Estimate::write_units`]. The events of a stream come together, so that its row is written once for all
    /// of them that one transaction has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_units: Option<f64>,
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
        Self { changesets, rate, seconds, read_model_bytes, write_units: None, by_segments: None }
    }
}

/// Changesets per second in a sample of as many in so many seconds.
fn rate_of(sample: Option<(u64, f64)>) -> Option<f64> {
    sample.filter(|(applied, _)| *applied > 0).map(|(applied, time)| applied as f64 / time.max(1e-6))
}

/// The write units for the projection's row in a transaction.
const UNITS_OF_THE_ROW: u64 = 2;

/// What a sample took in its transaction, and the size of the live read model.
struct Tried {
    read_model_bytes: Option<u64>,
    applying: Duration,
    write_units: Option<u64>,
}

/// What a sample took.
struct Sampled {
    changesets: u64,
    seconds: f64,
    read_model_bytes: Option<u64>,
    read_units: Option<f64>,
    write_units: Option<u64>,
}

impl Sampled {
    /// What a number of the sample is for all changesets up to the head of the log.
    fn of_all(&self, head: Checkpoint, part: f64) -> f64 {
        part / self.changesets.max(1) as f64 * head.get() as f64
    }

    fn write_units(&self, head: Checkpoint) -> Option<f64> {
        self.write_units.map(|units| self.of_all(head, units as f64))
    }
}

impl<D: Database> Core<D> {
    /// Applies the first changesets of the log in a transaction, rolls it back, and extrapolates.
    pub(crate) async fn estimate(self: Arc<Self>) -> Result<Estimate, StepError> {
        let head = self.log.head().await?.checkpoint;
        if !D::SIDE_BY_SIDE {
            return Ok(Estimate::of(head, None, None));
        }
        let start = ProjectionState::new(self.processor.version());
        let sampled = self.sample(&start, head).await?;
        let applied = Some((sampled.changesets, sampled.seconds));
        let estimate = Estimate::of(head, applied, sampled.read_model_bytes);
        let estimate = Estimate { write_units: sampled.write_units(head), ..estimate };
        if self.check_by_segments().is_err() || head == Checkpoint::START {
            return Ok(estimate);
        }
        let segment = Some(SegmentProgress::begin(1, head));
        let sampled = match self.sample(&ProjectionState { segment, ..start }, head).await {
            // The first segment is empty.
            Ok(sampled) if sampled.changesets == 0 => return Ok(estimate),
            Ok(sampled) => sampled,
            // What is known of an ordinary rebuild is told nevertheless. The right to scan is one that others do not need.
            Err(error) => {
                let error = OperateError::from(error);
                tracing::warn!(%error, "a rebuild by segments can't be estimated");
                return Ok(estimate);
            }
        };
        let rate = rate_of(Some((sampled.changesets, sampled.seconds)));
        let by_segments = SegmentsEstimate {
            rate,
            seconds: rate.map(|rate| head.get() as f64 / rate),
            read_units: sampled.read_units.map(|units| sampled.of_all(head, units)),
            write_units: sampled.write_units(head),
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
                    let Tried { read_model_bytes, applying, write_units } = tried?;
                    let seconds = (reading + applying).as_secs_f64();
                    return Ok(Sampled { changesets, seconds, read_model_bytes, read_units, write_units });
                }
            }
        }
    }

    /// Applies a batch to a new read model, in a transaction that is rolled back.
    async fn try_out(&self, sample: &Self, batch: &Batch, head: Checkpoint) -> Result<Tried, StepError> {
        let mut tx = self.begin().await?;
        let read_model_bytes = tx.size_bytes(self.id()).await?;
        let live = tx.load(self.id()).await?;
        sample.make_standby(&mut tx, SideBySide::default().into(), head, Vec::new(), None, false).await?;
        let (began, before) = (Instant::now(), tx.write_units());
        if let Some(first) = batch.reference(0) {
            let at = ProjectionState::new(self.processor.version()).position;
            let is_left_out = |event: &usize| {
                let entry = &batch.changesets[batch.changeset_of(*event)];
                live.as_ref().is_some_and(|live| live.leaves_out(entry))
            };
            let events: Vec<_> = (0..batch.len()).filter(|event| !is_left_out(event)).collect();
            sample.apply_events(batch, &events, at, first, &mut tx).await?;
        }
        // Those for the new read model are staged already, and with them those for the projection's row.
        let added = |all: u64| all.saturating_sub(before.unwrap_or_default()) + UNITS_OF_THE_ROW;
        Ok(Tried { read_model_bytes, applying: began.elapsed(), write_units: tx.write_units().map(added) })
    }
}
