//! How much of the machine others leave.

use std::time::Duration;

const LOOK: Duration = Duration::from_secs(1);

/// The share of all processors that was idle in the next second, in percent. `None` where there is no
/// /proc/stat.
pub(crate) async fn percent() -> Option<f64> {
    let before = Ticks::now()?;
    tokio::time::sleep(LOOK).await;
    let after = Ticks::now()?;
    Some(100.0 * (after.idle - before.idle) / (after.all - before.all))
}

struct Ticks {
    idle: f64,
    all: f64,
}

impl Ticks {
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; what comes after is counted in the first
        // two.
        let ticks = stat.lines().next()?.split_whitespace().skip(1).take(8);
        let ticks: Vec<f64> = ticks.map(|ticks| ticks.parse().unwrap_or(0.0)).collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }
}
