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
    /// The maximum time for an answer, without the time that the body takes to arrive and the request waits for
    /// something; then the answer is 503. Default: 20 seconds.
    pub answer_time: Duration,
    /// The maximum number of concurrent commits, and of other requests, counted separately: reads never keep
    /// commits out. Requests that wait are not counted here. Default: 1,024.
    pub requests: usize,
    /// The longest that a request for the log is held (`wait=SECONDS`), up to 20 seconds. One that asks for more is
    /// answered after this time, and told in `Ees-Poll-After` when to come again, if nothing has arrived until
    /// then. A server that pays for each second that a request takes sets a low one. Default: 20 seconds, the
    /// longest that may be asked for.
    pub wait: Duration,
    /// The maximum number of concurrent requests that wait for something (`wait=SECONDS`). Default: 256.
    pub waiting_requests: usize,
    /// The maximum number of event streams (Server-Sent Events). They are counted apart from other requests, but
    /// each of them has a connection, of which [`ConnectionLimits`](super::ConnectionLimits) allows more.
    /// Default: 1,024.
    pub subscribers: usize,
    /// After this time without an event, an event stream has a comment, which keeps its connection open.
    /// Default: 15 seconds.
    pub heartbeat: Duration,
    /// The maximum size of the bodies of all concurrent requests together, in bytes; beyond it, requests with a
    /// body are refused with 503. Default: 256 MiB, and at least 8 bodies of the maximum size.
    pub bodies_bytes: usize,
    /// The maximum size of the answers that are being sent, in bytes; beyond it, larger answers are replaced by
    /// 503. Event streams have a quarter of it besides; beyond it, their next parts wait. Default: 256 MiB.
    pub answers_bytes: usize,
}

impl Limits {
    /// The defaults for a store whose changesets may have this many bytes.
    ///
    /// A body may be four times as long, because white space is not stored.
    pub fn for_changesets_of(limit_bytes: usize) -> Self {
        let body_bytes = limit_bytes.saturating_mul(4).saturating_add(64 * 1024);
        Self {
            body_bytes,
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(20),
            requests: 1_024,
            wait: Duration::from_secs(20),
            waiting_requests: 256,
            subscribers: 1_024,
            heartbeat: Duration::from_secs(15),
            bodies_bytes: body_bytes.saturating_mul(8).max(256 * 1024 * 1024),
            answers_bytes: 256 * 1024 * 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_changesets_of(1024 * 1024)
    }
}
