//! Prints one line for each figure: the measured value, the limit on this machine, and the target.

use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Report {
    printed_head: bool,
    rates: HashMap<String, f64>,
    /// The figures of the smaller workload.
    smaller: HashMap<String, f64>,
}

impl Report {
    pub(crate) fn rate(
        &mut self,
        what: &str,
        events: u64,
        took: Duration,
        limit: Option<f64>,
        aim: Option<f64>,
    ) -> f64 {
        if !std::mem::replace(&mut self.printed_head, true) {
            println!("{:<52} {:>12} {:>10} {:>12}", "", "events/s", "of limit", "aim");
        }
        let rate = events as f64 / took.as_secs_f64();
        let ratio = limit.map_or_else(String::new, |limit| format!("{:.2}", rate / limit));
        let aim = aim.map_or_else(String::new, |aim| format!("{aim:.0}"));
        let growth = self.smaller.get(what).map(|smaller| format!("   {:.2} of the smaller", rate / smaller));
        println!("{what:<52} {rate:>12.0} {ratio:>10} {aim:>12}{}", growth.unwrap_or_default());
        self.rates.insert(what.to_owned(), rate);
        rate
    }

    pub(crate) fn percentiles(&mut self, what: &str, mut times: Vec<Duration>, aim: &str) {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{what:<52} p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms   aim {aim}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }

    /// From now on, figures are of a larger workload, and are printed next to the earlier ones.
    pub(crate) fn grow(&mut self) {
        self.smaller = std::mem::take(&mut self.rates);
    }
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed())
}

pub(crate) async fn timed_async<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let result = work.await;
    (result, begun.elapsed())
}

pub(crate) fn peak_memory_mb() -> u64 {
    peak_memory_mb_of("self")
}

/// Of a process, by its id.
pub(crate) fn peak_memory_mb_of(process: &str) -> u64 {
    status_mb(process, "VmHWM")
}

pub(crate) fn memory_mb() -> u64 {
    status_mb("self", "VmRSS")
}

fn status_mb(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
