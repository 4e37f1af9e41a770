//! The memory for large batches, which the workers of a `Projector` share: each of ten that are far behind takes a tenth,
//! or an ordinary batch if that is more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the workers that are far behind.
#[derive(Clone, Default)]
pub(crate) struct SpanMemory(Arc<AtomicUsize>);

impl SpanMemory {
    /// Counts one more, until what it returns is dropped.
    pub(super) fn share(&self) -> Share {
        self.0.fetch_add(1, Ordering::Relaxed);
        Share(self.clone())
    }
}

/// What one worker may take. The others take less from their next batch on.
pub(super) struct Share(SpanMemory);

impl Share {
    pub(super) fn of(&self, whole: usize) -> usize {
        let Self(SpanMemory(sharing)) = self;
        whole / sharing.load(Ordering::Relaxed).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Self(SpanMemory(sharing)) = self;
        sharing.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_it_while_they_are_far_behind() {
        let memory = SpanMemory::default();
        let first = memory.share();
        assert_eq!(first.of(50_000), 50_000);
        let second = memory.share();
        assert_eq!((first.of(50_000), second.of(50_000)), (25_000, 25_000));
        drop(first);
        assert_eq!(second.of(50_000), 50_000);
    }
}
