//! How much one place of the order is to read.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How large an entry is, about, as reads have found.
#[derive(Debug)]
pub(super) struct EntryBytes(AtomicUsize);

impl Default for EntryBytes {
    fn default() -> Self {
        Self(AtomicUsize::new(1024))
    }
}

impl EntryBytes {
    pub(super) fn typical(&self) -> usize {
        self.0.load(Relaxed).max(1)
    }

    /// The newest counts half: what a log holds may change.
    pub(super) fn found(&self, bytes: usize) {
        self.0.store(usize::midpoint(self.typical(), bytes), Relaxed);
    }
}
