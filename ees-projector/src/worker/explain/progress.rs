//! How far the replay for an explanation is, for those who wait for it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::explanation::ExplainProgress;

/// The progress of the explanation that is made of a projection's rows. One is made at a time.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Option<ExplainProgress>>);

/// An explanation that is being made. Its progress is gone when this is dropped.
pub(crate) struct Replaying(Arc<Progress>);

impl Progress {
    pub(crate) fn begin(self: Arc<Self>) -> Replaying {
        Replaying(self)
    }

    /// Returns the progress, or `None` while nothing of the log is replayed.
    pub(crate) fn look(&self) -> Option<ExplainProgress> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, progress: Option<ExplainProgress>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

impl Replaying {
    pub(crate) fn at(&self, progress: ExplainProgress) {
        self.0.set(Some(progress));
    }
}

impl Drop for Replaying {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
