//! The settings of a store in a SQLite file.

use std::time::Duration;

/// When the store acknowledges a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk: it survives a power failure. Costs one fsync for each batch of commits.
    #[default]
    Full,
    /// When the operating system has it: it survives a crash of the process, but a power failure may lose the
    /// last commits. The log stays consistent and ordered either way.
    Normal,
}

/// Settings of a [`Store`](super::Store).
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When the store acknowledges a commit. Default: [`Durability::Full`].
    pub durability: Durability,
    /// The maximum size of events and metadata in one changeset, in bytes. Default: 1 MiB.
    pub limit_bytes: usize,
    /// The minimum time that idempotency keys are kept. Default: 7 days.
    pub keep_keys: Duration,
    /// The maximum number of concurrent reads. Default: 4.
    pub readers: usize,
    /// How long a call waits for a lock that another program holds before it fails. Default: 10 seconds.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            limit_bytes: 1024 * 1024,
            keep_keys: Duration::from_secs(7 * 24 * 60 * 60),
            readers: 4,
            patience: Duration::from_secs(10),
        }
    }
}
