//! What a driver says at the end.

use std::time::Duration;

use serde::Serialize;

use crate::Times;

/// One line of JSON. The runner computes rates from it, and compares the state with what should be there.
#[derive(Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Report {
    /// Events that were appended, applied, seen or read.
    pub events: usize,
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// Events that were appended, where `events` says how many of them were seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appended: Option<usize>,
    /// The sum of the amounts that were appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
    /// How many events the store itself says that it has, after the clock was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<usize>,
    /// What the read model says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    /// How many calls, where a call is more than an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<usize>,
}

/// The sums over a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    pub rows: i64,
    pub events: i64,
    pub balance: i64,
}

impl Report {
    pub fn new(events: usize, took: Duration) -> Self {
        Self { events, seconds: took.as_secs_f64(), ..Self::default() }
    }

    #[must_use]
    pub fn times(self, mut times: Times) -> Self {
        Self { p50_ms: times.within_ms(0.5), p99_ms: times.within_ms(0.99), ..self }
    }

    #[must_use]
    pub fn stored(self, stored: usize) -> Self {
        Self { stored: Some(stored), ..self }
    }

    #[must_use]
    pub fn view(self, view: View) -> Self {
        Self { view: Some(view), ..self }
    }

    /// Prints it for the runner.
    ///
    /// # Panics
    /// When it is no JSON, as a time that is no number.
    pub fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("numbers"));
    }
}
