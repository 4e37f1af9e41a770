//! What a worker knows of the streams that are parked.

use std::collections::HashSet;
use std::sync::Arc;

use ees_store::{StreamId, Timestamp};

/// The streams that are parked, and when the next one is to be retried.
#[derive(Default)]
pub(crate) struct ParkedStreams {
    pub(crate) streams: Arc<HashSet<StreamId>>,
    pub(crate) due: Option<Timestamp>,
}
