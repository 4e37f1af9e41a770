//! Lanes under load: how many places a second, how long until a changeset can be read, and what it costs.
//!
//! Latencies are those of DynamoDB as we know them, not measured here: a transaction takes 15 to 30 ms, any other call
//! 5 to 10. The newest page of a lane's part of the global index takes 1,000 write units a second, without the burst
//! that DynamoDB allows now and then. Commits come at random times, evenly over the lanes. The time begins when the
//! indexer sees a commit. Not simulated: throttled calls, failures, the moment until the index shows an entry, and
//! whether DynamoDB has split the table for the load.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::lanes::{Counter, Cut, Generation};

/// A transaction holds so many changesets at most, beside the counter.
const BATCH_MAX: usize = 99;
/// What a partition takes.
const UNITS_PER_SECOND: f64 = 1_000.0;
/// The counter, in a transaction: twice one unit, and its entry in the index, whose key changes.
const COUNTER_UNITS: u64 = 2 + 2;
/// The part of this that the newest page takes.
const COUNTER_PAGE_UNITS: u64 = 2;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Load {
    /// The number of lanes.
    pub lanes: usize,
    /// How many changesets are committed in a second.
    pub commits_per_second: f64,
    /// It ends when so many can be read.
    pub changesets: u64,
    /// The kilobytes of a changeset, rounded up: its write units.
    pub kilobytes: u64,
    /// How many cuts a second the cutters aim at together.
    pub cuts_per_second: f64,
    /// How many cutters race.
    pub cutters: usize,
    /// The same seed gives the same outcome.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How many changesets got their place and can be read.
    pub changesets: u64,
    /// The seconds that it took, simulated.
    pub seconds: f64,
    /// How old the oldest commit without a place is at the end, in seconds.
    pub behind: f64,
    /// The median time from a commit until it can be read, in milliseconds.
    pub delay_median: usize,
    /// 99 % can be read after so many milliseconds.
    pub delay_p99: usize,
    /// Cuts that were written.
    pub cuts: u64,
    /// Cuts that another cutter had written.
    pub refused: u64,
    /// Write units for places and cuts.
    pub write_units: u64,
}

impl Outcome {
    /// Places a second.
    pub fn places_per_second(&self) -> f64 {
        self.changesets as f64 / self.seconds
    }

    /// Cuts a second.
    pub fn cuts_per_second(&self) -> f64 {
        self.cuts as f64 / self.seconds
    }

    /// Write units for the place of a changeset, its share of the cuts included.
    pub fn units_per_changeset(&self) -> f64 {
        self.write_units as f64 / self.changesets as f64
    }
}

/// Runs a simulation.
pub fn simulate(load: &Load) -> Outcome {
    let mut random = Rng::with_seed(load.seed);
    let rate = load.commits_per_second / load.lanes as f64;
    let mut lanes: Vec<_> = (0..load.lanes).map(|_| Lane::new(rate, load.kilobytes, random.fork())).collect();
    let mut delays = Delays::default();
    let (mut now, mut changesets) = (0.0, 0);
    let mut cutting = Cutting::new(load, &mut random);
    while changesets < load.changesets {
        if load.lanes == 1 {
            // The counter is the cut: who reads it sees what is placed.
            now += 1.0;
            lanes[0].advance(now);
            let placed = lanes[0].length;
            changesets += lanes[0].show(placed, None, &mut delays);
        } else {
            now = cutting.next_call(&mut lanes, &mut random, |lane, end, at| {
                changesets += lane.show(end, Some(at), &mut delays);
            });
        }
    }
    let oldest = lanes.iter().map(|lane| lane.next_commit).fold(now, f64::min);
    Outcome {
        changesets,
        seconds: now,
        behind: now - oldest,
        delay_median: delays.quantile(0.5),
        delay_p99: delays.quantile(0.99),
        cuts: cutting.written,
        refused: cutting.refused,
        // A cut of up to some fifty lanes is smaller than a kilobyte. A refused write is billed too.
        write_units: lanes.iter().map(|lane| lane.write_units).sum::<u64>()
            + cutting.written
            + cutting.refused,
    }
}

/// A lane and its indexer, which has one transaction at a time.
struct Lane {
    rate: f64,
    kilobytes: u64,
    random: Rng,
    /// When the oldest commit was made that is in no transaction yet.
    next_commit: f64,
    /// When the indexer has its answer.
    free_at: f64,
    /// When the newest page has taken what was written so far.
    page_free_at: f64,
    /// The commits of the transaction that is under way, and when it ends.
    under_way: Option<(Vec<f64>, f64)>,
    /// The counter.
    length: u64,
    /// When those were committed, and placed, that no reader sees yet.
    placed: VecDeque<(f64, f64)>,
    write_units: u64,
}

impl Lane {
    fn new(rate: f64, kilobytes: u64, random: Rng) -> Self {
        let mut lane = Self {
            rate,
            kilobytes,
            random,
            next_commit: 0.0,
            free_at: 0.0,
            page_free_at: 0.0,
            under_way: None,
            length: 0,
            placed: VecDeque::new(),
            write_units: 0,
        };
        lane.commit();
        lane
    }

    fn commit(&mut self) {
        self.next_commit += -(1.0 - self.random.f64()).ln() / self.rate;
    }

    /// Does all that is done until then.
    fn advance(&mut self, to: f64) {
        loop {
            let (commits, ends) = self.under_way.take().unwrap_or_else(|| self.begin());
            if ends > to {
                self.under_way = Some((commits, ends));
                return;
            }
            self.length += commits.len() as u64;
            self.placed.extend(commits.into_iter().map(|commit| (commit, ends)));
        }
    }

    fn begin(&mut self) -> (Vec<f64>, f64) {
        let starts = self.next_commit.max(self.free_at).max(self.page_free_at);
        let mut commits = Vec::with_capacity(BATCH_MAX);
        while self.next_commit <= starts && commits.len() < BATCH_MAX {
            commits.push(self.next_commit);
            self.commit();
        }
        let changesets = commits.len() as u64 * self.kilobytes;
        self.page_free_at = starts + (changesets + COUNTER_PAGE_UNITS) as f64 / UNITS_PER_SECOND;
        // Twice for the transaction, once in the index.
        self.write_units += 3 * changesets + COUNTER_UNITS;
        self.free_at = starts + milliseconds(&mut self.random, 15.0, 30.0);
        (commits, self.free_at)
    }

    /// Readers see the lane up to here: at this time, or when each got its place.
    fn show(&mut self, end: u64, at: Option<f64>, delays: &mut Delays) -> u64 {
        let hidden = self.length - end;
        let count = self.placed.len() - (hidden as usize).min(self.placed.len());
        for (commit, placed) in self.placed.drain(..count) {
            delays.add(at.unwrap_or(placed) - commit);
        }
        count as u64
    }
}

/// The cutters, and the cuts that they have written.
struct Cutting {
    generation: Generation,
    last: Option<Cut>,
    interval: f64,
    cutters: Vec<Cutter>,
    written: u64,
    refused: u64,
}

/// When its next call has its answer, and what it knows.
struct Cutter {
    at: f64,
    /// The last cut as it read it, and the counters: then it writes.
    known: Option<(Option<Cut>, Vec<Counter>)>,
    begins: f64,
}

impl Cutting {
    fn new(load: &Load, random: &mut Rng) -> Self {
        let interval = load.cutters as f64 / load.cuts_per_second;
        let cutters = (0..load.cutters).map(|_| {
            let begins = random.f64() * interval;
            Cutter { at: begins, known: None, begins }
        });
        Self {
            generation: Generation::first(load.lanes),
            last: None,
            interval,
            cutters: cutters.collect(),
            written: 0,
            refused: 0,
        }
    }

    /// The next call of a cutter. Gives each lane, and up to where it is cut, if it wrote a cut.
    fn next_call(
        &mut self,
        lanes: &mut [Lane],
        random: &mut Rng,
        mut cut_to: impl FnMut(&mut Lane, u64, f64),
    ) -> f64 {
        let next = (0..self.cutters.len()).min_by(|a, b| self.cutters[*a].at.total_cmp(&self.cutters[*b].at));
        let cutter = &mut self.cutters[next.unwrap_or_default()];
        let now = cutter.at;
        let Some((last, counters)) = cutter.known.take() else {
            // It asked for the last cut, and then for all counters: they answer one after the other.
            let last = self.last.clone();
            let mut counters = Vec::with_capacity(lanes.len());
            let step = milliseconds(random, 5.0, 10.0) / lanes.len() as f64;
            for (lane, at) in lanes.iter_mut().zip(0..) {
                lane.advance(now + step * f64::from(at));
                counters.push(Counter { length: lane.length, is_closed: false });
            }
            cutter.known = Some((last, counters));
            cutter.at += step * lanes.len() as f64 + milliseconds(random, 5.0, 10.0);
            return now;
        };
        if let Some(cut) = self.generation.next_cut(last.as_ref(), &counters, None) {
            let free = self.last.as_ref().map_or(0, |last| self.generation.end_of(last));
            if cut.base == free {
                for (lane, end) in lanes.iter_mut().zip(&cut.ends) {
                    cut_to(lane, *end, now);
                }
                self.last = Some(cut);
                self.written += 1;
            } else {
                self.refused += 1;
            }
        }
        // Jitter, so that cutters do not stay in step.
        cutter.begins += self.interval * (0.9 + 0.2 * random.f64());
        cutter.at = cutter.begins.max(now);
        now
    }
}

/// How many had which delay, by milliseconds.
#[derive(Default)]
struct Delays {
    counts: Vec<u64>,
    total: u64,
}

impl Delays {
    /// Longer ones count as this.
    const MAX: usize = 60_000;

    fn add(&mut self, seconds: f64) {
        let at = ((seconds * 1_000.0) as usize).min(Self::MAX);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
    }

    fn quantile(&self, share: f64) -> usize {
        let (wanted, mut seen) = ((self.total as f64 * share) as u64, 0);
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen > wanted
        });
        found.unwrap_or(self.counts.len())
    }
}

fn milliseconds(random: &mut Rng, from: f64, to: f64) -> f64 {
    (from + (to - from) * random.f64()) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(lanes: usize, commits_per_second: f64) -> Load {
        Load {
            lanes,
            commits_per_second,
            changesets: 200_000,
            kilobytes: 1,
            cuts_per_second: 10.0,
            cutters: 2,
            seed: 1,
        }
    }

    #[test]
    fn one_lane_writes_no_cuts_and_has_the_ceiling_of_a_page() {
        let outcome = simulate(&load(1, 20_000.0));
        assert_eq!((outcome.cuts, outcome.refused), (0, 0));
        let ceiling = 99.0 / 101.0 * 1_000.0;
        let places = outcome.places_per_second();
        assert!((0.99 * ceiling..1.01 * ceiling).contains(&places), "{places}");
    }

    #[test]
    fn thirty_two_lanes_keep_up_with_20_000_commits_a_second() {
        let outcome = simulate(&load(32, 20_000.0));
        assert!(outcome.behind < 0.1 && outcome.places_per_second() > 19_000.0, "{outcome:?}");
        assert!(outcome.delay_p99 < 300, "{outcome:?}");
        assert!((5.0..12.0).contains(&outcome.cuts_per_second()), "{outcome:?}");
    }

    #[test]
    fn larger_changesets_lower_the_ceiling() {
        let outcome = simulate(&Load { kilobytes: 4, ..load(4, 20_000.0) });
        assert!((985.0..1_000.0).contains(&outcome.places_per_second()), "{outcome:?}");
    }

    #[test]
    fn a_seed_gives_the_same_outcome() {
        let load = Load { changesets: 20_000, ..load(16, 10_000.0) };
        assert_eq!(simulate(&load), simulate(&load));
        assert_ne!(simulate(&load), simulate(&Load { seed: 2, ..load }));
    }
}
