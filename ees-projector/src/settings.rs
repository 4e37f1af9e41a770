//! How a projection runs.

use std::time::Duration;

use crate::policy::{OnFailure, Parking, Retry};

/// How a projection runs. The defaults suit most projections.
///
/// ```
/// use ees_projector::{OnFailure, Parking, Settings};
/// let settings = Settings { on_failure: OnFailure::Park(Parking::default()), ..Settings::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The most changesets in one transaction. Default: 5,000.
    pub batch_changesets_max: usize,
    /// The most bytes of events and metadata in one transaction. A single changeset may be larger. Default: 4
    /// MiB.
    pub batch_bytes_max: usize,
    /// The most changesets in one transaction while a fold is far behind, as in a rebuild. They are folded in
    /// memory and each row is written once. A crash repeats this much work. The projections of a
    /// [`Projector`](crate::Projector) that are far behind at the same time share it, so that each takes its part of it,
    /// but no less than [`batch_changesets_max`](Self::batch_changesets_max). Default: 50,000.
    pub span_changesets_max: usize,
    /// The most bytes of events and metadata in one transaction while a fold is far behind. They take two or
    /// three times as much memory, and so do the next ones, which are read meanwhile. The projections of a
    /// [`Projector`](crate::Projector) that are far behind at the same time share them too; each gets at least
    /// [`batch_bytes_max`](Self::batch_bytes_max). Default: 32 MiB.
    pub span_bytes_max: usize,
    /// The longest time between two reads of the log, if nothing announces new changesets. Default: 20 s.
    /// Longer values count as 20 s.
    pub poll_interval: Duration,
    /// How failing changesets and transient faults are retried.
    pub retry: Retry,
    /// What happens to a changeset that still fails after the last retry. Default: the projection pauses.
    pub on_failure: OnFailure,
    /// The number of partitions of a new projection: this many workers can share its streams. 1 to 256.
    /// Default: 1. More than 1 requires [`Order::Stream`](crate::Order::Stream) and a database that several
    /// processes share. [`Handle::set_partitions`](crate::Handle::set_partitions) changes it later.
    pub partitions: u32,
    /// What happens when the program has a newer version of the projection than the stored one. Default:
    /// rebuild in place.
    pub new_version: NewVersion,
    /// Whether a new version leaves out again what operators skipped in the version before. Default: `false`.
    /// It tries those changesets again, because it may be able to apply them.
    pub keep_skips: bool,
    /// How long the audit of operators' actions is kept ([`Handle::audit`](crate::Handle::audit)). Older
    /// entries are deleted within an hour, in small portions, while the projection is not paused. Default: 90
    /// days.
    pub keep_audit: Duration,
    /// Whether the projection keeps a [`Fingerprint`](crate::Fingerprint) of its rows, in the transaction that changes
    /// them, for quick verifications ([`Handle::verify_quickly`](crate::Handle::verify_quickly)). Only a fold or a
    /// composite can. A projection that already runs keeps it from its next rebuild or higher version on. A program
    /// without this setting that runs the projection ends it, and so does a rebuild of some streams that changes a row.
    /// Default: `false`.
    pub fingerprint: bool,
    /// Whether rebuilds, and steps that apply commits older than a minute, are spans too, as those are that
    /// follow the log (feature `opentelemetry`). Default: `false`.
    pub trace_history: bool,
}

/// What happens when the program has a newer version of a projection than the stored one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewVersion {
    /// Wipes the read model and replays the log. Readers see it grow. The default.
    #[default]
    InPlace,
    /// Builds the new version in the standby while the live read model serves readers, then swaps. Requires a
    /// database that can do this (`postgres`, `sqlite`); others rebuild in place. The old version keeps
    /// following while a program with that version runs; on SQLite, only one in the same process can. The
    /// standby needs the worker of a [`Projector`](crate::Projector): an [`OnDemand`](crate::OnDemand) host does
    /// not build it.
    SideBySide {
        /// Compares the two read models before the swap. If they differ, they are not swapped until an
        /// operator calls [`Handle::swap`](crate::Handle::swap). Use it for a new version that must give the
        /// same rows, such as a faster one.
        verify: bool,
    },
}

impl Settings {
    /// Returns how streams are parked and retried. With `OnFailure::Pause` the defaults apply to streams that
    /// were parked under an earlier setting.
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
            span_bytes_max: 32 * 1024 * 1024,
            poll_interval: Duration::from_secs(20),
            retry: Retry::default(),
            on_failure: OnFailure::default(),
            partitions: 1,
            new_version: NewVersion::default(),
            keep_skips: false,
            keep_audit: Duration::from_secs(90 * 24 * 60 * 60),
            fingerprint: false,
            trace_history: false,
        }
    }
}
