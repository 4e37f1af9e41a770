//! What a worker knows about the lease on its read model.

use std::time::{Duration, Instant};

use crate::database::Lease;

/// How often a worker looks at the lease, and renews its own.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a worker knows about the lease.
pub(crate) struct LeaseState {
    lease: Lease,
    looked: Option<Instant>,
    /// Whether the worker keeps running; `false` for a host that does not stay.
    pub(crate) stays: bool,
}

impl Default for LeaseState {
    fn default() -> Self {
        Self { lease: Lease::Elsewhere { worker: None }, looked: None, stays: true }
    }
}

impl LeaseState {
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.lease, Lease::NotNeeded | Lease::Ours { .. })
    }

    /// Returns `true` if waits for new changesets must be short, so that the lease is renewed in time.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.lease, Lease::Ours { .. })
    }

    /// Returns `true` if this worker has the lease for certain, without another look.
    pub(super) fn is_certain(&self, look_every: Duration) -> bool {
        self.lease == Lease::NotNeeded
            || (self.is_ours() && self.looked.is_some_and(|at| at.elapsed() < look_every))
    }

    /// Records the result of a look. Returns `true` if the lease was acquired or lost.
    pub(super) fn note(&mut self, found: Lease) -> bool {
        let was_ours = self.is_ours();
        if found != Lease::Busy {
            self.lease = found;
        }
        self.looked = Some(Instant::now());
        was_ours != self.is_ours()
    }

    /// Returns the worker that has the lease, if known.
    pub(super) fn owner(&self) -> Option<String> {
        match &self.lease {
            Lease::Ours { worker } => Some(worker.clone()),
            Lease::Elsewhere { worker } => worker.clone(),
            Lease::NotNeeded | Lease::Busy => None,
        }
    }

    /// Records that the lease is released. Returns `true` if there was one.
    pub(super) fn release(&mut self) -> bool {
        let is_shared = matches!(self.lease, Lease::Ours { .. } | Lease::Elsewhere { .. });
        if is_shared {
            self.lease = Lease::Elsewhere { worker: None };
        }
        is_shared
    }
}
