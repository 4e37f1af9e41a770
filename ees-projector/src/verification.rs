//! What a rebuild would take, and how far a comparison with one is.

use std::sync::{Arc, Mutex, PoisonError};

use ees_store::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::live::Live;
use crate::operation::OperateError;
use crate::standby::Comparison;
use crate::status::Rebuild;

/// What a rebuild would take, as far as a sample tells: its first changesets were applied, and taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Estimate {
    /// Changesets to replay, those left out by a filter included.
    pub changesets: u64,
    /// Changesets a second, in the sample; `None` when there was nothing to measure.
    pub rate: Option<f64>,
    /// Seconds it would take at that rate.
    pub seconds: Option<f64>,
    /// Bytes that the live read model takes, indexes included, where the database can tell: so much room a rebuild side
    /// by side needs besides.
    pub read_model_bytes: Option<u64>,
}

/// How far a verification is, or what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Verification {
    /// The read model is being built once more.
    Building {
        /// The checkpoint it reads next.
        checkpoint: u64,
        /// How far it is.
        rebuild: Option<Rebuild>,
    },
    /// Done: see what was found.
    Done {
        /// The two, at one and the same checkpoint.
        comparison: Comparison,
    },
    /// It could not be carried out.
    Failed {
        /// Why.
        error: String,
    },
}

/// The verification of one projection that was begun last.
#[derive(Default)]
pub(crate) struct Verifier(Mutex<Option<Running>>);

struct Running {
    live: Arc<Live>,
    result: Arc<Mutex<Option<Result<Comparison, OperateError>>>>,
}

impl Verifier {
    /// Begins one, unless one is under way.
    pub(crate) fn begin<F>(&self, verify: impl FnOnce(Arc<Live>) -> F)
    where
        F: Future<Output = Result<Comparison, OperateError>> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_some_and(Running::is_under_way) {
            return;
        }
        let begun = Running { live: Arc::new(Live::new()), result: Arc::default() };
        let (work, result) = (verify(begun.live.clone()), begun.result.clone());
        tokio::spawn(async move {
            let found = work.await;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        });
        *running = Some(begun);
    }

    /// How it stands, if one was ever begun.
    pub(crate) fn status(&self) -> Option<Verification> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_ref()?;
        let result = running.result.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(match result {
            None => {
                let live = running.live.snapshot();
                Verification::Building { checkpoint: live.checkpoint().get(), rebuild: live.rebuild() }
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

impl Estimate {
    pub(crate) fn of(head: Checkpoint, sample: Option<(u64, f64)>, read_model_bytes: Option<u64>) -> Self {
        let changesets = head.get();
        let rate =
            sample.filter(|(applied, _)| *applied > 0).map(|(applied, time)| applied as f64 / time.max(1e-6));
        Self { changesets, rate, seconds: rate.map(|rate| changesets as f64 / rate), read_model_bytes }
    }
}
