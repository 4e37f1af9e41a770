//! What a version of the code would do, told before it is deployed.
//!
//! [`Projector::preview`](crate::Projector::preview) makes a [`Preview`]. With the feature `preview`, `main` is the
//! ready-made program of it.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod compared;
#[cfg(feature = "preview")]
mod program;
mod row_differences;
#[cfg(feature = "preview")]
mod text;

use std::fmt;
use std::sync::Arc;

use ees_store::{ChangesetId, Checkpoint, EventId, Json, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

#[cfg(feature = "preview")]
pub use self::program::{Given, main, run};
pub use self::row_differences::{
    ColumnDifference, RowDifference, RowDifferenceKind, RowDifferences, TableDifferences, TypeDifference,
};
use crate::worker::side_by_side::estimate::Estimate;

/// How a preview is made.
#[derive(Clone)]
pub struct PreviewOptions {
    /// The most samples of each kind: rows of a table, changesets that failed, effects. All are counted. Default: 10.
    pub samples: usize,
    /// The most streams of a projection that may fail before the preview ends, because the version can't read this log.
    /// Default: 1,000.
    pub failing_streams_max: usize,
    /// Where a reactor's preview begins. Default: as far back as its ledger keeps what was done
    /// ([`keep_effects`](crate::reactor::Settings::keep_effects)).
    pub since: Option<Timestamp>,
    /// Is told from time to time how far the preview has read the log. Default: nobody is told.
    pub on_progress: Option<Arc<dyn Fn(PreviewProgress) + Send + Sync>>,
}

impl Default for PreviewOptions {
    fn default() -> Self {
        Self { samples: 10, failing_streams_max: 1_000, since: None, on_progress: None }
    }
}

impl fmt::Debug for PreviewOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreviewOptions")
            .field("samples", &self.samples)
            .field("failing_streams_max", &self.failing_streams_max)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// How far a preview has read the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewProgress {
    /// The checkpoint that it reads next.
    pub checkpoint: Checkpoint,
    /// The checkpoint at which it ends.
    pub until: Checkpoint,
}

/// What this program's version would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Preview {
    /// The rows that a projection would have.
    Projection(ProjectionPreview),
    /// The effects that a reactor would do.
    Reactor(ReactorPreview),
}

impl Preview {
    /// Returns `true` if a deployment changes nothing: no row differs, no event failed, no effect is missing.
    pub fn is_equal(&self) -> bool {
        match self {
            Self::Projection(preview) => preview.is_equal(),
            Self::Reactor(preview) => preview.is_equal(),
        }
    }
}

/// The rows that a version of a projection makes of the log, compared with the live read model at one checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectionPreview {
    /// The projection.
    pub name: String,
    /// The version of this program.
    pub version: u32,
    /// The version of the live read model.
    pub live_version: u32,
    /// The checkpoint of both read models, up to which they have read the log.
    pub checkpoint: u64,
    /// The end of the log.
    pub head: u64,
    /// Whether the rows were compared. `false` if too many streams have failed: the preview has ended at the
    /// checkpoint then.
    pub is_compared: bool,
    /// In what the rows differ.
    pub rows: RowDifferences,
    /// What this version could not read or apply.
    pub failures: Failures,
    /// The number of changesets that operators skipped. The preview leaves them out, as the live read model does.
    /// Whether a new version does is a setting ([`keep_skips`](crate::Settings::keep_skips)).
    pub skipped: u64,
    /// The number of streams that are parked in the live read model. The preview leaves out what waits there.
    pub parked_streams: u64,
    /// What a rebuild costs, by the preview's own rate and size.
    pub rebuild: Estimate,
}

impl ProjectionPreview {
    /// Returns `true` if no row differs and no event failed.
    pub fn is_equal(&self) -> bool {
        self.is_compared && self.rows.is_equal() && self.failures.streams == 0
    }
}

/// What could not be read, applied or acted on. The rest of each stream waits behind its first failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The number of streams with a failure.
    pub streams: u64,
    /// The number of changesets that failed or wait behind one that did.
    pub changesets: u64,
    /// Some of the failures.
    pub samples: Vec<FailedInPreview>,
}

/// The changeset at which a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedInPreview {
    /// The stream.
    pub stream_id: StreamId,
    /// The number of the changeset in its stream.
    pub changeset_id: ChangesetId,
    /// The error. It names the event, if one can't be read.
    pub error: String,
}

/// The effects that a reactor would do and its ledger does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReactorPreview {
    /// The reactor.
    pub name: String,
    /// The checkpoint at which the preview begins.
    pub from: u64,
    /// The end of the log, where the preview ends.
    pub until: u64,
    /// The checkpoint of the reactor. What lies at it or after it, the reactor has not acted on yet. `None`: it was
    /// never started here.
    pub live_checkpoint: Option<u64>,
    /// The number of effects that the ledger has.
    pub known: u64,
    /// The number of effects that the ledger does not have.
    pub missing: u64,
    /// Some of the missing effects, in the order of the log.
    pub effects: Vec<PreviewedEffect>,
    /// The events that this version could not read or act on, and those that need the result of a missing effect.
    pub failures: Failures,
    /// The number of streams that are parked. What waits there may be among the missing effects.
    pub parked_streams: u64,
}

impl ReactorPreview {
    /// Returns `true` if the ledger has all effects, and no event failed.
    pub fn is_equal(&self) -> bool {
        self.missing == 0 && self.failures.streams == 0
    }
}

/// An effect that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewedEffect {
    /// The name of the effect. What sets or cancels a timer is `timer:set:KEY` or `timer:cancel:KEY`.
    pub effect: String,
    /// Its [idempotency key](crate::reactor::Cause::key).
    pub key: String,
    /// The stream of the event.
    pub stream_id: StreamId,
    /// The changeset of the event.
    pub changeset_id: ChangesetId,
    /// The number of the event in its stream.
    pub event_id: EventId,
    /// When a timer is due.
    pub due: Option<Timestamp>,
    /// The payload of a timer.
    pub payload: Option<Json>,
}

/// What a rebuild on DynamoDB writes, as estimated from the start of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteUnits {
    /// The number of changesets to replay.
    pub changesets: u64,
    /// Of these, the number that was looked at.
    pub sampled: u64,
    /// The number of transactions.
    pub transactions: u64,
    /// The number of rows that they write. A row that changes in several transactions counts for each.
    pub rows: u64,
    /// The number of write units.
    pub units: u64,
}

impl WriteUnits {
    /// The price of a million write units in US dollars: on demand, in us-east-1, since November 2024.
    pub const PRICE: f64 = 0.625;

    /// Returns the price in the currency of `million`, the price of a million write units.
    pub fn cost(&self, million: f64) -> f64 {
        self.units as f64 / 1e6 * million
    }

    /// Returns the numbers for the whole log, when these are for its start.
    pub(crate) fn extrapolated(self, sampled: Checkpoint, head: Checkpoint) -> Self {
        let (sampled, changesets) = (sampled.get(), head.get());
        let of_all = |number: u64| match sampled {
            0 => 0,
            _ => (number as f64 * changesets as f64 / sampled as f64).round() as u64,
        };
        let Self { transactions, rows, units, .. } = self;
        let [transactions, rows, units] = [transactions, rows, units].map(of_all);
        Self { changesets, sampled, transactions, rows, units }
    }
}
