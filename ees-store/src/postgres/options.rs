//! The settings of a store in PostgreSQL.

use std::time::Duration;

/// Settings of a [`Store`](super::Store).
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The maximum size of events and metadata in one changeset, in bytes. Default: 1 MiB.
    pub limit_bytes: usize,
    /// The minimum time that idempotency keys are kept, by the database's clock. Default: 7 days.
    pub keep_keys: Duration,
    /// The maximum number of connections that read. Default: 8. Three more write, listen and notify.
    pub readers: u32,
    /// How long a call waits for a server that is unreachable or busy (a restart, a failover, a lock, no free
    /// connection) before it fails. Default: 10 seconds.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limit_bytes: 1024 * 1024,
            keep_keys: Duration::from_secs(7 * 24 * 60 * 60),
            readers: 8,
            patience: Duration::from_secs(10),
        }
    }
}
