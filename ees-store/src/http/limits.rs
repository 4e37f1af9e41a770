//! What the API takes on at once.

use std::time::Duration;

/// What the API takes on at once.
///
/// ```
/// use ees_store::http::Limits;
/// let limits = Limits { requests: 64, ..Limits::for_changesets_of(256 * 1024) };
/// assert_eq!(limits.body_bytes, 1024 * 1024 + 64 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a commit's body, white space included. Default: 4 MiB + 64 KiB, for a store that keeps 1 MiB.
    pub body_bytes: usize,
    /// How long a commit's body may take to arrive. Default: 30 seconds.
    pub body_time: Duration,
    /// Requests under way, those that wait for something apart. Default: 1,024.
    pub requests: usize,
    /// Requests under way that wait for something (`wait=SECONDS`). Default: 256.
    pub waiting_requests: usize,
}

impl Limits {
    /// Fit for a store that keeps changesets of up to so many bytes.
    ///
    /// White space, which is not stored, may make a body four times as long; past the limit it is refused unread.
    pub fn for_changesets_of(limit_bytes: usize) -> Self {
        Self {
            body_bytes: limit_bytes.saturating_mul(4).saturating_add(64 * 1024),
            body_time: Duration::from_secs(30),
            requests: 1_024,
            waiting_requests: 256,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_changesets_of(1024 * 1024)
    }
}
