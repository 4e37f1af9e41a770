//! Whether commits fail, as far as this server has seen.
//!
//! A store that can still be read may refuse every commit: a table is locked, a disk is full.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;

/// Failures in a row that are no accident any more.
const FAILURES: u32 = 3;

/// How long failures are remembered when no commit comes after them: longer than a commit may take.
const MEMORY: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct CommitHealth(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    last: Option<(Instant, &'static str)>,
}

impl CommitHealth {
    /// Notes how a commit ended.
    pub(super) fn note(&self, status: StatusCode, code: &'static str) {
        let mut state = self.state();
        if !status.is_server_error() {
            *state = State::default();
        // Too many requests at once say nothing about the store.
        } else if code != "OVERLOADED" {
            state.failures = state.failures.saturating_add(1);
            state.last = Some((Instant::now(), code));
        }
    }

    /// The code with which commits fail now, one after another.
    pub(super) fn failing(&self) -> Option<&'static str> {
        let state = self.state();
        let (at, code) = state.last?;
        (state.failures >= FAILURES && at.elapsed() < MEMORY).then_some(code)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
