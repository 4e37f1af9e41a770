//! How a projection is run.

use std::time::Duration;

use crate::policy::{OnFailure, Retry};

/// How a projection is run. Every value has a default that suits most.
///
/// ```
/// use ees_projector::{OnFailure, Parking, Settings};
/// let settings = Settings { on_failure: OnFailure::Park(Parking::default()), ..Settings::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The most changesets in one transaction; 5,000 unless set.
    pub batch_changesets_max: usize,
    /// The most bytes of events and metadata in one transaction (a single changeset may be larger); 4 MiB unless
    /// set.
    pub batch_bytes_max: usize,
    /// How long it waits for news before it looks by itself; 20 s unless set, and at most.
    pub poll_interval: Duration,
    /// The pace at which failures are tried again.
    pub retry: Retry,
    /// What happens to a changeset that failed for good.
    pub on_failure: OnFailure,
    /// Into how many partitions a new projection's streams are dealt out, so that as many workers can be at work in it:
    /// 1 unless set, up to 256. Only for projections that declare [`Order::Stream`](crate::Order::Stream), on a database
    /// that several processes share. Later [`Handle::set_partitions`](crate::Handle::set_partitions) changes it.
    pub partitions: u32,
    /// What happens when the program comes with a newer version of the projection than the one that is stored.
    pub new_version: NewVersion,
}

/// What happens when the program comes with a newer version of a projection than the one that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewVersion {
    /// The read model is wiped and built anew; readers see it grow.
    #[default]
    InPlace,
    /// The new version is built beside the old one, and takes its place when it has caught up; readers see the old one
    /// until then. Only where the database can do that ([`postgres`](crate::postgres)), and in place elsewhere. As long
    /// as a program with the old version runs as well, the old one goes on following.
    SideBySide {
        /// Compares the two before; when they differ, [`Handle::swap`](crate::Handle::swap) has to be asked. For a new
        /// version that is meant to give the same rows, as one that is only faster.
        verify: bool,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_changesets_max: 5_000,
            batch_bytes_max: 4 * 1024 * 1024,
            poll_interval: Duration::from_secs(20),
            retry: Retry::default(),
            on_failure: OnFailure::default(),
            partitions: 1,
            new_version: NewVersion::default(),
        }
    }
}
