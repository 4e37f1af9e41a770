//! The projection's row as its worker last saw it.

use crate::projection_state::ProjectionState;

/// The projection's row as its worker last saw it, or nothing when it must be read again.
///
/// To go on from the row, a worker *takes* it, and only what has succeeded puts one back: whatever fails on the way, is
/// cancelled, or leaves the row to others, makes it read again without a word.
#[derive(Default)]
pub(crate) struct CachedState(Option<ProjectionState>);

impl CachedState {
    /// A look, for what decides nothing.
    pub(super) fn peek(&self) -> Option<&ProjectionState> {
        self.0.as_ref()
    }

    /// Takes it out.
    pub(super) fn take(&mut self) -> Option<ProjectionState> {
        self.0.take()
    }

    /// Puts back what is known to be stored.
    pub(super) fn put(&mut self, state: ProjectionState) {
        self.0 = Some(state);
    }

    /// It may have changed: it is read again.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
