//! How much a store holds.

use serde::{Deserialize, Serialize};

/// How much a store holds, as counted by a read model of its log. All zeros before the first count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "http", schema(example = json!({
    "total_streams": 2, "total_changesets": 3, "total_events": 9, "max_stream_length": 2, "statistics_version": 3,
})))]
pub struct Statistics {
    /// The number of streams with at least one changeset.
    pub total_streams: u64,
    /// The number of changesets in all streams.
    pub total_changesets: u64,
    /// The number of events in all changesets.
    pub total_events: u64,
    /// The number of changesets in the longest stream.
    pub max_stream_length: u64,
    /// The checkpoint up to which the read model has counted: the next one to read.
    pub statistics_version: u64,
}
