//! The progress and the result of verifications.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::standby::Comparison;
use crate::status::Rebuild;
use crate::worker::operations::operation::OperateError;
use crate::worker::worker_status::WorkerStatus;

/// The progress or the result of a verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Verification {
    /// The read model is being built in the scratch slot.
    Building {
        /// The checkpoint that it reads next.
        checkpoint: u64,
        /// The progress of the build.
        rebuild: Option<Rebuild>,
    },
    /// The comparison is complete.
    Done {
        /// The differences.
        comparison: Comparison,
    },
    /// The verification failed.
    Failed {
        /// The error.
        error: String,
    },
}

/// The last verification of one projection.
#[derive(Default)]
pub(crate) struct Verifier(Mutex<Option<Running>>);

struct Running {
    status: Arc<WorkerStatus>,
    result: Arc<Mutex<Option<Result<Comparison, OperateError>>>>,
}

impl Verifier {
    /// Starts a verification, unless one is in progress.
    pub(crate) fn begin<F>(&self, verify: impl FnOnce(Arc<WorkerStatus>) -> F)
    where
        F: Future<Output = Result<Comparison, OperateError>> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(Running::is_under_way) {
            return;
        }
        let begun = Running { status: Arc::new(WorkerStatus::new()), result: Arc::default() };
        let (work, result) = (verify(begun.status.clone()), begun.result.clone());
        tokio::spawn(async move {
            let found = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        });
        *running = Some(begun);
    }

    /// Returns the progress or the result, or `None` if no verification was started.
    pub(crate) fn status(&self) -> Option<Verification> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_ref()?;
        let result = running.result.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(match result {
            None => {
                let seen = running.status.snapshot();
                Verification::Building { checkpoint: seen.checkpoint().get(), rebuild: seen.rebuild() }
            }
            Some(Ok(comparison)) => Verification::Done { comparison },
            Some(Err(error)) => Verification::Failed { error: error.to_string() },
        })
    }
}

impl Running {
    fn is_under_way(&self) -> bool {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}
