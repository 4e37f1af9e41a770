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

/// The codes of what the store itself refuses.
const ANSWERS: [&str; 3] =
    ["OPTIMISTIC_CONCURRENCY_EXCEPTION", "IDEMPOTENCY_KEY_REUSED", "STREAM_TYPE_MISMATCH"];

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
        // A request that is refused before it gets to the store, or for want of room, says nothing about it.
        if status.is_success() || ANSWERS.contains(&code) {
            *state = State::default();
        } else if status.is_server_error() && code != "OVERLOADED" {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_does_not_come_from_the_store_hides_no_failures() {
        let health = CommitHealth::default();
        let down = StatusCode::SERVICE_UNAVAILABLE;
        for _ in 0..FAILURES {
            health.note(down, "UNAVAILABLE");
            health.note(StatusCode::BAD_REQUEST, "INVALID_BODY");
            health.note(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
            health.note(down, "OVERLOADED");
        }
        assert_eq!(health.failing(), Some("UNAVAILABLE"));
        health.note(StatusCode::CONFLICT, "OPTIMISTIC_CONCURRENCY_EXCEPTION");
        assert_eq!(health.failing(), None, "the store has answered");
    }
}
