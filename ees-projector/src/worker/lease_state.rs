//! What a worker knows of the lease on its read model.

use std::time::{Duration, Instant};

use crate::database::Lease;

/// How often a worker looks who has the lease, and renews its own.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a worker knows of the lease.
pub(crate) struct LeaseState {
    lease: Lease,
    looked: Option<Instant>,
    /// Whether it goes on, or is a host that does not stay.
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

    /// Whether to wait for news for a short time only, so that the lease is kept.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.lease, Lease::Ours { .. })
    }

    /// Whether it is ours for certain, without another look.
    pub(super) fn is_certain(&self, look_every: Duration) -> bool {
        self.lease == Lease::NotNeeded
            || (self.is_ours() && self.looked.is_some_and(|at| at.elapsed() < look_every))
    }

    /// Notes what a look found; whether it has become ours, or another one's.
    pub(super) fn note(&mut self, found: Lease) -> bool {
        let was_ours = self.is_ours();
        if found != Lease::Busy {
            self.lease = found;
        }
        self.looked = Some(Instant::now());
        was_ours != self.is_ours()
    }

    /// The worker that has it, if that is known.
    pub(super) fn owner(&self) -> Option<String> {
        match &self.lease {
            Lease::Ours { worker } => Some(worker.clone()),
            Lease::Elsewhere { worker } => worker.clone(),
            Lease::NotNeeded | Lease::Busy => None,
        }
    }

    /// Notes that it is given back; whether there was one to give.
    pub(super) fn release(&mut self) -> bool {
        let is_shared = matches!(self.lease, Lease::Ours { .. } | Lease::Elsewhere { .. });
        if is_shared {
            self.lease = Lease::Elsewhere { worker: None };
        }
        is_shared
    }
}
