//! What a worker knows about the parked streams.

use std::collections::HashSet;
use std::sync::Arc;

use ees_store::{StreamId, Timestamp};

/// The parked streams, and the time of the next retry.
#[derive(Default)]
pub(crate) struct ParkedStreams {
    pub(crate) streams: Arc<HashSet<StreamId>>,
    pub(crate) due: Option<Timestamp>,
}
