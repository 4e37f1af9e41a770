//! Turns on a contended stream: conflicting commands execute one after the other, instead of conflicting
//! again.
//!
//! This is only an optimisation within one process: the store checks what a decision is based on.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ees_store::StreamId;
use tokio::sync::{Mutex, MutexGuard};

/// Streams may share a queue by chance. Only contended ones have a queue at all, so that few share one.
const LINES: usize = 256;

/// A command that has waited for this long continues without a turn: the one before it may be waiting for a
/// store that is unavailable.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The queues in which commands wait.
pub(crate) struct Turns {
    lines: Box<[Mutex<()>]>,
    hasher: RandomState,
}

/// Whose turn it is. The next one's begins when this is dropped.
pub(crate) type Turn<'a> = MutexGuard<'a, ()>;

impl Turns {
    pub(crate) fn new() -> Self {
        Self { lines: (0..LINES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }

    /// Waits for a turn, if others do: who comes last does not overtake those who were overtaken. Where
    /// nobody waits, there is no need for one.
    pub(crate) async fn after_others(&self, stream_id: &StreamId) -> Option<Turn<'_>> {
        match self.line(stream_id).try_lock() {
            Ok(_) => None,
            Err(_) => self.take(stream_id).await,
        }
    }

    /// Waits for a turn; none when it does not come in time.
    pub(crate) async fn take(&self, stream_id: &StreamId) -> Option<Turn<'_>> {
        tokio::time::timeout(WAIT_MAX, self.line(stream_id).lock()).await.ok()
    }

    fn line(&self, stream_id: &StreamId) -> &Mutex<()> {
        let line = self.hasher.hash_one(stream_id) % LINES as u64;
        // Smaller than the number of lines.
        &self.lines[line as usize]
    }
}
