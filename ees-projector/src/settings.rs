//! How a projection is run.

use std::time::Duration;

use crate::policy::{OnFailure, Parking, Retry};

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
    /// The most changesets in one transaction while a fold is far behind, as in a rebuild; 50,000 unless set. So many are
    /// folded in memory and their rows written once; a crash loses that much work, and nothing else.
    pub span_changesets_max: usize,
    /// The most bytes of events and metadata in one transaction while a fold is far behind; 64 MiB unless set. They take
    /// two or three times as much memory.
    pub span_bytes_max: usize,
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
    /// How long it is kept what operators did ([`Handle::audit`](crate::Handle::audit)); 90 days unless set. What is
    /// older goes within the hour, a bounded number of entries at a time, as long as the projection is not paused.
    pub keep_audit: Duration,
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

impl Settings {
    /// How streams are parked and retried; by default also where a projection pauses, and what is parked was parked before.
    pub(crate) fn parking(&self) -> Parking {
        match self.on_failure {
            OnFailure::Park(parking) => parking,
            OnFailure::Pause => Parking::default(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_changesets_max: 5_000,
            batch_bytes_max: 4 * 1024 * 1024,
            span_changesets_max: 50_000,
            span_bytes_max: 64 * 1024 * 1024,
            poll_interval: Duration::from_secs(20),
            retry: Retry::default(),
            on_failure: OnFailure::default(),
            partitions: 1,
            new_version: NewVersion::default(),
            keep_audit: Duration::from_secs(90 * 24 * 60 * 60),
        }
    }
}
