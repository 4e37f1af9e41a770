//! How much is measured.

use std::time::Duration;

#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) events: usize,
    pub(crate) streams: usize,
    pub(crate) rounds: usize,
    /// The longest time for one figure; appends and catch-ups end earlier when all is done.
    pub(crate) append: Duration,
    pub(crate) catch_up: Duration,
    pub(crate) live: Duration,
    pub(crate) read: Duration,
    pub(crate) enumerate: Duration,
    /// For all of the workload, once for each peer, as what catch-ups and reads begin with.
    pub(crate) load: Duration,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        events: 100_000,
        streams: 10_000,
        rounds: 3,
        append: Duration::from_secs(5),
        catch_up: Duration::from_secs(20),
        live: Duration::from_secs(10),
        read: Duration::from_secs(2),
        enumerate: Duration::from_secs(30),
        load: Duration::from_secs(400),
    };
    pub(crate) const SHORT: Self = Self {
        events: 4_000,
        streams: 400,
        rounds: 1,
        append: Duration::from_secs(1),
        catch_up: Duration::from_secs(5),
        live: Duration::from_secs(2),
        read: Duration::from_secs(1),
        enumerate: Duration::from_secs(10),
        load: Duration::from_secs(60),
    };
}
