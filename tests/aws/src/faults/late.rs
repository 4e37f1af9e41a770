//! Entries of a global index that are written but not visible yet.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// When each entry that a query has found becomes visible.
#[derive(Default)]
pub(super) struct Late(HashMap<u64, Instant>);

impl Late {
    /// Whether an entry is still hidden. `lag` returns how long a new entry is hidden.
    pub(super) fn hides(&mut self, entry: &str, lag: impl FnOnce() -> Option<Duration>) -> bool {
        let mut hasher = DefaultHasher::new();
        entry.hash(&mut hasher);
        let now = Instant::now();
        let appears = self.0.entry(hasher.finish()).or_insert_with(|| now + lag().unwrap_or_default());
        *appears > now
    }
}
