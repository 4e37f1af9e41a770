//! Long work in the background, of which the last is remembered.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::worker::operations::operation::OperateError;
use crate::worker::worker_status::WorkerStatus;

/// Work that is done once at a time for a projection: its progress, or its result.
pub(crate) struct Job<W, T>(Mutex<Option<Begun<W, T>>>);

struct Begun<W, T> {
    what: W,
    status: Arc<WorkerStatus>,
    result: Arc<Mutex<Option<Result<T, OperateError>>>>,
    /// Asks the work to end.
    stop: CancellationToken,
    /// Is cancelled once there is a result.
    ended: CancellationToken,
}

/// A look at the last work.
pub(crate) struct Seen<W, T> {
    /// What was asked for.
    pub(crate) what: W,
    /// The worker that does it.
    pub(crate) status: Arc<WorkerStatus>,
    /// The result, once there is one.
    pub(crate) result: Option<Result<T, OperateError>>,
}

impl<W, T> Default for Job<W, T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<W: Clone, T: Clone + Send + 'static> Job<W, T> {
    /// Begins, unless work is in progress. Returns what is in progress then. The work should end once the token that it
    /// is given is cancelled.
    pub(crate) fn begin<F>(
        &self,
        what: W,
        work: impl FnOnce(Arc<WorkerStatus>, CancellationToken) -> F,
    ) -> Result<(), W>
    where
        F: Future<Output = Result<T, OperateError>> + Send + 'static,
    {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = last.as_ref().filter(|begun| begun.result().is_none()) {
            return Err(begun.what.clone());
        }
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let begun =
            Begun { what, status: Arc::new(WorkerStatus::new()), result: Arc::default(), stop, ended };
        let (work, result) = (work(begun.status.clone(), begun.stop.clone()), begun.result.clone());
        // Also if the work panics.
        let ended = begun.ended.clone().drop_guard();
        tokio::spawn(async move {
            let found = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            drop(ended);
        });
        *last = Some(begun);
        Ok(())
    }

    /// Asks the work in progress to end, if it is one that is meant, and waits until it has ended. Returns `false` if
    /// there is no such work.
    pub(crate) async fn cancel(&self, is_meant: impl FnOnce(&W) -> bool) -> bool {
        let ended = {
            let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let in_progress = last.as_ref().filter(|begun| begun.result().is_none() && is_meant(&begun.what));
            let Some(begun) = in_progress else { return false };
            begun.stop.cancel();
            begun.ended.clone()
        };
        ended.cancelled().await;
        true
    }

    /// Returns the progress or the result, or `None` if nothing was begun.
    pub(crate) fn look(&self) -> Option<Seen<W, T>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = last.as_ref()?;
        Some(Seen { what: begun.what.clone(), status: begun.status.clone(), result: begun.result() })
    }
}

impl<W, T: Clone> Begun<W, T> {
    fn result(&self) -> Option<Result<T, OperateError>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
