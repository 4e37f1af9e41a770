//! A standby beside the live read model: built, compared at one and the same checkpoint, swapped in one transaction.
//!
//! What is to become of it stands in its own row, so that the worker that finds it after a crash goes on.

mod build;
mod compare;
pub(crate) mod estimate;
pub(crate) mod open_readers;
mod swap;

use crate::projection_state::ProjectionState;
use crate::worker::error::StepError;

/// The live read model's row, which has to have one position.
fn require_unpartitioned(live: Option<ProjectionState>) -> Result<ProjectionState, StepError> {
    let refuse = |why: &str| Err(StepError::Setup(why.to_owned()));
    match live {
        None => refuse("there is no live read model"),
        Some(live) if live.split.is_some() => refuse(
            "its streams are dealt out to partitions: set their number to 1 first, which needs no rebuild",
        ),
        Some(live) => Ok(live),
    }
}
