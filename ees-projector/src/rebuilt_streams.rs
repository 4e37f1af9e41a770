//! The rebuild of the rows of some streams: what to rebuild, and what came of it.

use ees_store::{Checkpoint, Json, StreamId};
use serde::{Deserialize, Serialize};

use crate::explanation::LeftOut;

/// Which streams' rows to rebuild.
///
/// ```
/// use ees_projector::RebuildStreams;
/// let wanted = RebuildStreams { dry_run: true, ..RebuildStreams::of(["order/7".parse()?]) };
/// # assert_eq!(wanted.streams.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildStreams {
    /// The streams: 1 to [`STREAMS_MAX`](Self::STREAMS_MAX). One that is named twice counts once.
    pub streams: Vec<StreamId>,
    /// Whether to tell the differences only, and write nothing. Default: `false`.
    pub dry_run: bool,
}

impl RebuildStreams {
    /// The most streams of one rebuild.
    pub const STREAMS_MAX: usize = 1_000;

    /// These streams, with the defaults.
    pub fn of(streams: impl IntoIterator<Item = StreamId>) -> Self {
        Self { streams: streams.into_iter().collect(), dry_run: false }
    }
}

/// What came of the rebuild of the rows of some streams, or what would come of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct RebuiltStreams {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The checkpoint up to which the streams were replayed, exclusive: where the projection was. The highest one of
    /// a projection that is split into partitions.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The number of streams.
    pub streams: u64,
    /// The number of changesets that were replayed.
    pub replayed: u64,
    /// The number of rows that the read model did not have.
    pub added: u64,
    /// The number of rows that the read model should not have had.
    pub removed: u64,
    /// The number of rows that had other values.
    pub changed: u64,
    /// The number of rows that were right.
    pub unchanged: u64,
    /// The rows that differed, in the order of tables and keys: up to 1,000, and up to 2 MiB.
    pub rows: Vec<RebuiltRow>,
    /// Changesets of the streams that were left out, up to 100: those that an operator skipped, and the first parked
    /// changeset of each stream that is parked. What is parked stays parked.
    pub left_out: Vec<LeftOut>,
}

impl RebuiltStreams {
    /// Returns the number of rows that differed.
    pub fn differing(&self) -> u64 {
        self.added + self.removed + self.changed
    }
}

/// A row that differed from what the events make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct RebuiltRow {
    /// The table.
    pub table: String,
    /// The key.
    pub key: String,
    /// The stream whose events named the row.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The row that the read model had; `null` if there was none.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub before: Option<Json>,
    /// The row that the events make; `null` if they make none.
    #[cfg_attr(feature = "http", schema(value_type = Option<serde_json::Value>))]
    pub after: Option<Json>,
    /// The columns that differ. Those of a document are its members.
    pub columns: Vec<String>,
}
