//! The servers that all processes use: each may be dead for a while, or have a slow disk.

use std::sync::Mutex;
use std::time::Duration;

use crate::machine;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Store,
    Database,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    deaths: u32,
    dead_until: Duration,
    /// The longest that its disk takes for a call.
    disk_max: Duration,
}

/// How often a server had died when it got a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deaths(u32);

#[derive(Default)]
pub(crate) struct Servers {
    store: Mutex<Health>,
    database: Mutex<Health>,
}

impl Servers {
    fn of(&self, server: Server) -> &Mutex<Health> {
        match server {
            Server::Store => &self.store,
            Server::Database => &self.database,
        }
    }

    /// It dies, with all that it does at the moment. What it has acknowledged is there when it starts again.
    pub(crate) fn kill(&self, server: Server, dead_for: Duration) {
        let mut health = self.of(server).lock().unwrap();
        health.deaths += 1;
        health.dead_until = health.dead_until.max(machine::now() + dead_for);
    }

    pub(crate) fn slow_down(&self, server: Server, disk_max: Duration) {
        self.of(server).lock().unwrap().disk_max = disk_max;
    }

    /// How often one of them has died.
    pub(crate) fn deaths_in_all(&self) -> u32 {
        [&self.store, &self.database].map(|server| server.lock().unwrap().deaths).iter().sum()
    }

    pub(crate) fn mend(&self) {
        for server in [Server::Store, Server::Database] {
            let mut health = self.of(server).lock().unwrap();
            (health.dead_until, health.disk_max) = (Duration::ZERO, Duration::ZERO);
        }
    }

    pub(crate) fn disk_max(&self, server: Server) -> Duration {
        self.of(server).lock().unwrap().disk_max
    }

    /// `None` while it is dead.
    pub(crate) fn deaths(&self, server: Server) -> Option<Deaths> {
        let health = *self.of(server).lock().unwrap();
        (machine::now() >= health.dead_until).then_some(Deaths(health.deaths))
    }
}
