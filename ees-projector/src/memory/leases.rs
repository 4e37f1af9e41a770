//! Leases: which worker runs which read model, and which workers could.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::database::{Lease, take_turns};

/// Time after which a lease ends that is not renewed, and after which a worker counts as gone.
const LEASE: Duration = Duration::from_secs(5);

/// Of the rows of one read model.
#[derive(Clone, Default)]
pub(super) struct Leases {
    /// By the key of the row.
    held: BTreeMap<String, (String, Instant)>,
    /// By the key of the row and the worker: its version, and when it was seen.
    workers: BTreeMap<(String, String), (u32, Instant)>,
}

/// What a worker was told, and whether it has the lease now and had it not before.
pub(super) struct Told {
    pub(super) lease: Lease,
    pub(super) is_new: bool,
}

impl Leases {
    /// Takes or renews the lease, or leaves it to another worker.
    pub(super) fn take_turns(&mut self, key: &str, me: &str, version: u32, stays: bool) -> Told {
        let now = Instant::now();
        self.workers.retain(|_, (_, seen)| *seen + LEASE > now);
        if stays {
            self.workers.insert((key.to_owned(), me.to_owned()), (version, now));
        }
        let could = self.workers.iter().filter(|((row, _), (of, _))| row == key && *of == version);
        let could: Vec<String> = could.map(|((_, worker), _)| worker.clone()).collect();
        let owner = self.held.get(key).map(|(owner, until)| (owner.clone(), *until > now));
        let is_ours = owner.as_ref().is_some_and(|(owner, _)| owner == me);
        let lease = take_turns(key, me, owner, &could, stays);
        match lease {
            Lease::Ours { .. } => {
                self.held.insert(key.to_owned(), (me.to_owned(), now + LEASE));
            }
            _ => self.give_back(key, me),
        }
        let is_new = !is_ours && matches!(lease, Lease::Ours { .. });
        Told { lease, is_new }
    }

    /// Renews the lease, if this worker was the last that had it.
    pub(super) fn renew(&mut self, key: &str, me: &str) {
        if let Some((owner, until)) = self.held.get_mut(key)
            && owner == me
        {
            *until = Instant::now() + LEASE;
        }
    }

    /// Releases the lease and removes this worker, so that another worker can take over at once.
    pub(super) fn leave(&mut self, key: &str, me: &str) {
        self.give_back(key, me);
        self.workers.remove(&(key.to_owned(), me.to_owned()));
    }

    fn give_back(&mut self, key: &str, me: &str) {
        if self.owner(key) == Some(me) {
            self.held.remove(key);
        }
    }

    /// Ends all leases.
    pub(super) fn end(&mut self) {
        self.held.clear();
    }

    /// Forgets these rows.
    pub(super) fn forget(&mut self, is_of: impl Fn(&str) -> bool) {
        self.workers.retain(|(key, _), _| !is_of(key));
        self.held.retain(|key, _| !is_of(key));
    }

    pub(super) fn owner(&self, key: &str) -> Option<&str> {
        self.held.get(key).map(|(owner, _)| owner.as_str())
    }
}
