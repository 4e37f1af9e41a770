//! How often tests kill processes, and what was seen meanwhile.

use std::fmt;
use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was done to processes, and what they did nevertheless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kills of servers. On DynamoDB a server indexes, too.
    pub servers: u64,
    /// Kills of projector workers.
    pub workers: u64,
    /// Kills of programs that commit.
    pub clients: u64,
    /// How often a process was frozen and continued later.
    pub freezes: u64,
    /// How often a connection to the database was cut.
    pub cuts: u64,
    /// Changesets that were committed, each of them found in the log once and applied once.
    pub changesets: u64,
    /// Commits that were sent again because their answer did not come.
    pub sent_again: u64,
    /// Acknowledged commits that were sent once more, and answered by their idempotency keys.
    pub answered_by_key: u64,
}

impl Tally {
    /// All kills.
    pub fn kills(self) -> u64 {
        self.servers + self.workers + self.clients
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.servers += other.servers;
        self.workers += other.workers;
        self.clients += other.clients;
        self.freezes += other.freezes;
        self.cuts += other.cuts;
        self.changesets += other.changesets;
        self.sent_again += other.sent_again;
        self.answered_by_key += other.answered_by_key;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, workers, clients, freezes, cuts, changesets, sent_again, answered_by_key } = self;
        write!(
            f,
            "{} kills (servers {servers}, workers {workers}, clients {clients}), {freezes} freezes, {cuts} cuts, \
             {changesets} changesets, {sent_again} sent again without an answer, {answered_by_key} answered by key",
            self.kills(),
        )
    }
}

/// Runs rounds of a test, each with a random seed and with all of its checks, until `EES_KILL_MINUTES` are over and
/// processes were killed `EES_KILLS` times. Without them: one round. Prints the sum.
///
/// One test of a process at a time: they kill by the clock, and two at once leave each other too little time to get on.
///
/// # Panics
/// When a variable is not a number.
pub fn rounds_under_fire(store: &str, mut round: impl FnMut(u64) -> Tally) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |name| std::env::var(name).map_or(0, |text| text.parse::<u64>().unwrap());
    let (kills, started) = (number("EES_KILLS"), Instant::now());
    let time = Duration::from_secs(number("EES_KILL_MINUTES") * 60);
    let (mut sum, mut rounds) = (Tally::default(), 0);
    loop {
        let seed = fastrand::u64(..);
        println!("{store}: seed {seed}");
        sum += round(seed);
        rounds += 1;
        let is_enough = sum.kills() >= kills && started.elapsed() >= time;
        let so_far = if is_enough { "in all" } else { "so far" };
        println!("{store}, {so_far}: {sum}, {rounds} rounds, {} s", started.elapsed().as_secs());
        if is_enough {
            println!(
                "{store}: after each round the log had no gap and all that was acknowledged, applied once"
            );
            return;
        }
    }
}
