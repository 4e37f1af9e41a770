//! How long a store keeps what it may delete.

use std::time::Duration;

use clap::Args;

use crate::values::duration;

/// Use the same values in every process that opens one log.
#[derive(Args, Clone, Copy)]
pub(crate) struct Retention {
    /// How long to keep idempotency keys, at least, such as 7d or 36h. A commit that is sent again within
    /// this time is stored only once. A store in memory keeps all keys
    #[arg(long, env = "EES_KEEP_KEYS", value_name = "TIME", value_parser = duration, default_value = "7d")]
    pub(crate) keep_keys: Duration,
}
