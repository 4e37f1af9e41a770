//! How many batches several indexers write in a second that all move one counter, and how many of them are refused.
//!
//! A transaction that overlaps another one, or was built on a counter that has moved since, is refused and billed.
//! Who asks first learns of a transaction that is under way, but not of one that is sent at the same moment.

use fastrand::Rng;

/// Ticks in a millisecond.
const MS: u64 = 10;
/// From a client to the table, or back.
const WAY: u64 = MS;
/// A call that asks or is refused, from end to end.
const ASK: u64 = 5 * MS;

/// What an indexer does that has met others.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// The batches that it writes one after the other once it has got its turn: it asks before the first one only.
    pub turn: u32,
    /// The answers that say the same, one after the other, before it believes that the counter is free.
    pub confirms: u32,
    /// The longest pause between two questions, milliseconds.
    pub pause_max: u64,
    /// How long it leaves the counter to others after its turn, milliseconds.
    pub leaves: u64,
}

impl Manners {
    /// Asks before each batch.
    pub const ASKING: Self = Self { turn: 1, confirms: 1, pause_max: 500, leaves: 0 };
    /// As the store's indexers do.
    pub const TURNS: Self = Self { turn: 10, confirms: 2, pause_max: 100, leaves: 100 };
}

/// How busy they are.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Indexers that never rest.
    pub indexers: usize,
    /// How long a transaction takes, milliseconds.
    pub transaction: u64,
    /// Batches that come together, and the milliseconds until the next ones do.
    pub together: u32,
    /// The seconds that are simulated.
    pub seconds: u64,
}

/// What they reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Batches a second.
    pub batches: f64,
    /// Transactions that were refused, for each that was carried out.
    pub refused: f64,
    /// Questions, for each transaction that was carried out.
    pub asked: f64,
    /// The longest time in which one of them got nothing done, milliseconds.
    pub longest_wait: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Pausing,
    Asking,
    /// On its way to the table.
    Sending,
    Writing,
    Refused,
}

struct Indexer {
    doing: Doing,
    until: u64,
    counter: u64,
    /// Where it has moved the counter to.
    own: u64,
    lost: u32,
    /// Answers so far that said that the counter is free, and was where it is known to be.
    free: u32,
    left_of_turn: u32,
    left_of_call: u32,
    done_at: u64,
    /// Whether somebody else has had the counter since its last turn.
    is_shared: bool,
}

/// Lets them work.
pub fn work(load: Load, manners: Manners, seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let ends = load.seconds * 1_000 * MS;
    let mut outcome = Outcome::default();
    let (mut counter, mut held_until) = (0_u64, 0_u64);
    let mut all: Vec<_> = (0..load.indexers)
        .map(|_| Indexer {
            doing: Doing::Pausing,
            until: rng.u64(..50 * MS),
            counter: 0,
            own: 0,
            lost: 0,
            free: 0,
            left_of_turn: 0,
            left_of_call: load.together,
            done_at: 0,
            is_shared: true,
        })
        .collect();
    let (mut done, mut refused, mut asked, mut longest) = (0_u64, 0_u64, 0_u64, 0_u64);
    for now in 0..ends {
        // Who comes first at one moment is chance.
        let first = rng.usize(..all.len());
        for at in 0..all.len() {
            let one = &mut all[(first + at) % load.indexers];
            if one.until > now {
                continue;
            }
            let mut pause = |lost: &mut u32| {
                let longest = (4 << (*lost).min(7)).min(manners.pause_max) * MS;
                *lost += 1;
                now + 1 + (longest as f64 * rng.f64()) as u64
            };
            match one.doing {
                Doing::Pausing => {
                    asked += 1;
                    (one.doing, one.until) = (Doing::Asking, now + ASK / 2);
                }
                Doing::Asking if held_until > now => {
                    one.free = 0;
                    (one.doing, one.until) = (Doing::Pausing, pause(&mut one.lost) + ASK / 2);
                }
                // Somebody is between two batches of a turn.
                Doing::Asking if one.free > 0 && one.counter != counter => {
                    one.counter = counter;
                    (one.doing, one.until) = (Doing::Pausing, pause(&mut one.lost) + ASK / 2);
                }
                Doing::Asking if one.free + 1 < manners.confirms => {
                    (one.free, one.counter) = (one.free + 1, counter);
                    asked += 1;
                    one.until = now + ASK;
                }
                Doing::Asking => {
                    one.is_shared = one.own != counter;
                    one.counter = counter;
                    one.free = 0;
                    one.left_of_turn = manners.turn;
                    (one.doing, one.until) = (Doing::Sending, now + ASK / 2 + WAY);
                }
                Doing::Sending if held_until > now || one.counter != counter => {
                    refused += 1;
                    (one.doing, one.until) = (Doing::Refused, now + ASK - WAY);
                }
                Doing::Sending => {
                    held_until = now + load.transaction * MS - 2 * WAY;
                    (one.doing, one.until) = (Doing::Writing, held_until);
                }
                Doing::Refused => {
                    one.lost += 1;
                    (one.doing, one.until) = (Doing::Pausing, pause(&mut one.lost));
                }
                Doing::Writing => {
                    counter += 1;
                    done += 1;
                    longest = longest.max(now - one.done_at);
                    (one.counter, one.own, one.lost, one.done_at) = (counter, counter, 0, now);
                    one.left_of_turn -= 1;
                    one.left_of_call -= 1;
                    let mut next = now + 2 * WAY;
                    if one.left_of_call == 0 {
                        one.left_of_call = load.together;
                        next += 5 * MS;
                    }
                    if one.left_of_turn > 0 {
                        (one.doing, one.until) = (Doing::Sending, next);
                    } else {
                        let leaves = if one.is_shared { manners.leaves * MS } else { 0 };
                        (one.doing, one.until) = (Doing::Pausing, next + leaves);
                    }
                }
            }
        }
    }
    outcome.batches = done as f64 / load.seconds as f64;
    outcome.refused = refused as f64 / done as f64;
    outcome.asked = asked as f64 / done as f64;
    outcome.longest_wait = longest as f64 / MS as f64;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_waste_little_and_reach_nearly_what_one_indexer_does() {
        for (transaction, alone) in [(15, 62.0), (25, 38.0), (100, 9.9)] {
            for indexers in [2, 4, 8] {
                let of = |manners| {
                    work(Load { indexers, transaction, together: 5, seconds: 30 }, manners, indexers as u64)
                };
                let (asking, turns) = (of(Manners::ASKING), of(Manners::TURNS));
                assert!(turns.refused < 0.1 && turns.refused < asking.refused, "{turns:?}, {asking:?}");
                assert!(
                    turns.batches > 0.8 * alone && turns.batches > asking.batches,
                    "{turns:?}, {asking:?}"
                );
            }
        }
    }
}
