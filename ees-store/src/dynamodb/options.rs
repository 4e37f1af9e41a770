//! The settings of a store in DynamoDB.

use std::time::Duration;

/// Settings of a [`Store`](super::Store).
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long an idempotency key counts, from its commit on. Default: 7 days. In a table of
    /// [format 3](super::TableFormat::V3) it stays in its changeset after that, without effect. In one of an earlier
    /// format DynamoDB deletes it some days later, and it counts until then.
    pub keep_keys: Duration,
    /// How long a call is retried while DynamoDB throttles, fails or can't be reached. Default: 10 seconds.
    /// The last attempt may take longer, up to its own limit: by default 5 seconds; the SDK's configuration
    /// can set another.
    pub patience: Duration,
    /// Which process assigns checkpoints. Default: this one.
    pub indexing: Indexing,
}

/// Which process assigns checkpoints to changesets.
#[derive(Clone, Copy, Debug)]
pub enum Indexing {
    /// This process: right after a commit, and by sweeps at the start and at intervals. For processes that
    /// keep running.
    Here {
        /// The maximum time between two sweeps of the whole table for missed changesets. Default: a day.
        /// Small tables are swept more often: after as many seconds as the last sweep took read units, but at
        /// least 5. While the log does not grow, that doubles from sweep to sweep, up to 16 times.
        sweep_every: Duration,
    },
    /// An [`Indexer`](super::Indexer) elsewhere, such as a function on the table's stream. For processes that
    /// may be frozen at any time.
    Elsewhere,
}

impl Default for Options {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self {
            keep_keys: 7 * day,
            patience: Duration::from_secs(10),
            indexing: Indexing::Here { sweep_every: day },
        }
    }
}
