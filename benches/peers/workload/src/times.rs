//! How long calls took.

use std::time::Duration;

#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time within which this share of the calls was done, in milliseconds.
    pub fn within_ms(&mut self, share: f64) -> Option<f64> {
        self.0.sort();
        let at = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(at.saturating_sub(1)).map(|time| time.as_secs_f64() * 1e3)
    }
}
