//! One log line for each request: at debug, and for refusals at info.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Method, StatusCode};

/// Refusals that are logged in a second; a flood must not fill the disk.
const REFUSALS_A_SECOND: u64 = 10;

/// What a log line says of a request. Bodies, queries, ids of streams and keys are never logged.
pub(super) struct Line<'a> {
    pub(super) method: &'a Method,
    /// The pattern, not the path.
    pub(super) route: &'a str,
    pub(super) status: StatusCode,
    pub(super) time: Duration,
    pub(super) request_id: &'a HeaderValue,
    /// The size of the answer's body, where it is known.
    pub(super) bytes: Option<u64>,
    /// The code of a refusal.
    pub(super) code: &'a str,
}

/// Writes log lines.
pub(super) struct AccessLog(Mutex<Sample>);

impl AccessLog {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Sample { since: Instant::now(), seen: 0 }))
    }

    pub(super) fn write(&self, line: &Line<'_>) {
        let Line { method, route, status, time, bytes, code, .. } = line;
        let (status, milliseconds) = (status.as_u16(), time.as_secs_f64() * 1_000.0);
        let request_id = line.request_id.to_str().unwrap_or("");
        if status < 400 {
            tracing::debug!(%method, route, status, milliseconds, request_id, bytes, "answered");
            return;
        }
        let verdict = self.0.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        if verdict.left_out > 0 {
            tracing::info!(requests = verdict.left_out, "refused; not logged one by one");
        }
        if verdict.log {
            tracing::info!(%method, route, status, code, milliseconds, request_id, bytes, "refused");
        } else {
            tracing::debug!(%method, route, status, code, milliseconds, request_id, bytes, "refused");
        }
    }
}

/// The refusals of one second.
struct Sample {
    since: Instant,
    seen: u64,
}

struct Verdict {
    log: bool,
    /// Refusals of the second before that were not logged.
    left_out: u64,
}

impl Sample {
    fn next(&mut self, now: Instant) -> Verdict {
        let mut left_out = 0;
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            left_out = self.seen.saturating_sub(REFUSALS_A_SECOND);
            *self = Self { since: now, seen: 0 };
        }
        self.seen += 1;
        Verdict { log: self.seen <= REFUSALS_A_SECOND, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_a_few_are_logged_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut sample = Sample { since: start, seen: 0 };
        let logged = (0..1_000).filter(|_| sample.next(start).log).count();
        assert_eq!(logged as u64, REFUSALS_A_SECOND);
        let later = sample.next(start + Duration::from_secs(2));
        assert!(later.log);
        assert_eq!(later.left_out, 1_000 - REFUSALS_A_SECOND);
        assert_eq!(sample.next(start + Duration::from_secs(2)).left_out, 0);
    }
}
