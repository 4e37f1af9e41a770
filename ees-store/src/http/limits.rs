//! Limits on requests.

use std::time::Duration;

/// Limits on requests.
///
/// ```
/// use ees_store::http::Limits;
/// let limits = Limits { requests: 64, ..Limits::for_changesets_of(256 * 1024) };
/// assert_eq!(limits.body_bytes, 1024 * 1024 + 64 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a commit's body, in bytes, white space included. Default: 4 MiB + 64 KiB, for a
    /// store with a limit of 1 MiB.
    pub body_bytes: usize,
    /// The maximum time for a commit's body to arrive. Default: 30 seconds.
    pub body_time: Duration,
    /// The maximum number of concurrent requests, without waiting ones. Default: 1,024.
    pub requests: usize,
    /// The maximum number of concurrent requests that wait for something (`wait=SECONDS`). Default: 256.
    pub waiting_requests: usize,
}

impl Limits {
    /// The defaults for a store whose changesets may have this many bytes.
    ///
    /// A body may be four times as long, because white space is not stored.
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
