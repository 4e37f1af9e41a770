//! The way of a process to the servers.

use std::sync::Mutex;
use std::time::Duration;

use ees_projector::memory::{Lost, Network};
use futures::future::BoxFuture;

use crate::machine;

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

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Store,
    Database,
}

pub(crate) struct Link {
    weather: Mutex<Weather>,
    /// When calls to the database, or its answers, were lost.
    losses: Mutex<Vec<Duration>>,
}

impl Link {
    pub(crate) fn new(weather: Weather) -> Self {
        Self { weather: Mutex::new(weather), losses: Mutex::default() }
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

    /// Takes as long as one way to the server takes.
    pub(crate) async fn pass(&self, to: Server) -> Result<(), Lost> {
        let Weather { delay_max, lost, is_cut } = self.weather();
        tokio::time::sleep(delay_max.mul_f64(fastrand::f64())).await;
        if is_cut || fastrand::u32(..1_000) < lost {
            if to == Server::Database {
                self.losses.lock().unwrap().push(machine::now());
            }
            // So long a client waits for an answer.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(50..2_000))).await;
            return Err(Lost);
        }
        Ok(())
    }
}

impl Network for Link {
    fn call(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(self.pass(Server::Database))
    }

    fn answer(&self) -> BoxFuture<'_, Result<(), Lost>> {
        Box::pin(self.pass(Server::Database))
    }
}
