//! The progress and the result of verifications.

use serde::{Deserialize, Serialize};

use super::job::{Job, Seen};
use crate::standby::Comparison;
use crate::status::Rebuild;

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
        /// Its code, as where a call is refused: `NOT_POSSIBLE`, `UNAVAILABLE`, ...
        #[serde(default)]
        code: String,
    },
}

/// The last verification of one projection.
pub(crate) type Verifier = Job<(), Comparison>;

impl Verification {
    pub(crate) fn of(Seen { status, result, .. }: Seen<(), Comparison>) -> Self {
        match result {
            None => {
                let seen = status.snapshot();
                Self::Building { checkpoint: seen.checkpoint().get(), rebuild: seen.rebuild() }
            }
            Some(Ok(comparison)) => Self::Done { comparison },
            Some(Err(error)) => Self::Failed { error: error.to_string(), code: error.code().to_owned() },
        }
    }
}
