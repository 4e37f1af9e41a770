//! Turns on a stream in demand: commands that were overtaken go one after the other, instead of overtaking each other again.
//!
//! A courtesy among the commands of one process, and no more: what a decision rests on is checked by the store.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use ees_store::StreamId;
use tokio::sync::{Mutex, MutexGuard};

/// Streams share a line by chance. Only those in demand have one at all, so few meet in so many.
const LINES: usize = 256;

/// Whoever has waited for so long goes on without a turn: the one before it may be waiting for a store that is away.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The lines in which commands stand.
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

    /// Waits for a turn, if others do: who comes last does not overtake those who were overtaken. Where nobody waits, there
    /// is no need for one.
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
