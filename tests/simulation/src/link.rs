//! The way of a process to the servers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ees_projector::memory::{Lost, Network};
use futures::future::BoxFuture;

use crate::machine;
use crate::servers::{Deaths, Server, Servers};

/// How calls fare.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// The longest that a call takes one way.
    pub(crate) delay_max: Duration,
    /// How many of 1,000 calls are lost, and how many of 1,000 answers.
    pub(crate) lost: u32,
    /// No call arrives.
    pub(crate) is_cut: bool,
}

pub(crate) struct Link {
    servers: Arc<Servers>,
    weather: Mutex<Weather>,
    /// When calls to the database, or its answers, were lost.
    losses: Mutex<Vec<Duration>>,
}

impl Link {
    pub(crate) fn new(weather: Weather, servers: Arc<Servers>) -> Self {
        Self { servers, weather: Mutex::new(weather), losses: Mutex::default() }
    }

    pub(crate) fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    pub(crate) fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    pub(crate) fn losses(&self) -> Vec<Duration> {
        self.losses.lock().unwrap().clone()
    }

    /// A call arrives, and the server takes its time for it.
    pub(crate) async fn call(&self, to: Server) -> Result<Deaths, Lost> {
        let deaths = self.pass(to).await?;
        tokio::time::sleep(self.servers.disk_max(to).mul_f64(fastrand::f64())).await;
        // What it was about to do has died with it.
        if self.servers.deaths(to) == Some(deaths) { Ok(deaths) } else { Err(self.lose(to)) }
    }

    /// The answer to a call arrives, unless the server has died since.
    pub(crate) async fn answer(&self, from: Server, deaths: Deaths) -> Result<(), Lost> {
        if self.pass(from).await? == deaths { Ok(()) } else { Err(self.lose(from)) }
    }

    /// Takes as long as one way to or from the server takes.
    async fn pass(&self, to: Server) -> Result<Deaths, Lost> {
        let Weather { delay_max, lost, is_cut } = self.weather();
        tokio::time::sleep(delay_max.mul_f64(fastrand::f64())).await;
        if is_cut || fastrand::u32(..1_000) < lost {
            let lost = self.lose(to);
            // So long a client waits for an answer.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(50..2_000))).await;
            return Err(lost);
        }
        // One that is dead refuses a connection at once.
        self.servers.deaths(to).ok_or_else(|| self.lose(to))
    }

    fn lose(&self, to: Server) -> Lost {
        if to == Server::Database {
            self.losses.lock().unwrap().push(machine::now());
        }
        Lost
    }
}

impl Network for Link {
    fn call(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async { self.call(Server::Database).await.map(drop) })
    }

    /// What the database has committed is there, though it may have died since.
    fn answer(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(async { self.pass(Server::Database).await.map(drop) })
    }
}
