//! A standby side by side with the live read model: built, compared at the same checkpoint, swapped in one
//! transaction.
//!
//! The plan for it is stored in its own row, so that a worker can go on with it after a crash.

mod build;
mod compare;
pub(crate) mod estimate;
pub(crate) mod open_readers;
mod swap;

use crate::projection_state::ProjectionState;
use crate::worker::error::StepError;

/// Returns the live read model's row, which must not be split into partitions.
pub(super) fn require_unpartitioned(live: Option<ProjectionState>) -> Result<ProjectionState, StepError> {
    let refuse = |why: &str| Err(StepError::Setup(why.to_owned()));
    match live {
        None => refuse("there is no live read model"),
        Some(live) if live.split.is_some() => refuse(
            "the projection is split into partitions: set their number to 1 first, which needs no rebuild",
        ),
        Some(live) => Ok(live),
    }
}
