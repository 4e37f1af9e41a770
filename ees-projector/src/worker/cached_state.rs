//! The projection's row as its worker last saw it.

use crate::projection_state::ProjectionState;

/// The projection's row as its worker last saw it, or nothing if it must be read again.
///
/// A worker *takes* the row to go on from it, and only a success puts a row back. So after any failure or
/// cancellation, or when others may change the row, the cache is empty and the row is read again.
#[derive(Default)]
pub(crate) struct CachedState(Option<ProjectionState>);

impl CachedState {
    /// Takes the row out of the cache.
    pub(super) fn take(&mut self) -> Option<ProjectionState> {
        self.0.take()
    }

    /// Puts a row into the cache that is known to be stored.
    pub(super) fn put(&mut self, state: ProjectionState) {
        self.0 = Some(state);
    }

    /// Empties the cache: the row may have changed.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
