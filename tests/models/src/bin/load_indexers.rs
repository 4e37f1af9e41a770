//! Prints what several indexers of one counter reach that never rest: `just load-indexers`.

use ees_test_models::indexers::{Load, Manners, work};

/// Places in a batch, and the units of a transaction that gives them out, with and without their entries in the
/// index.
const PLACES: f64 = 99.0;
const CARRIED_OUT: f64 = 299.0;
const REFUSED: f64 = 200.0;

fn main() {
    println!("transaction  indexers              places/s  units a place  asked a batch  longest wait, s");
    for transaction in [15, 25, 100] {
        for indexers in [1, 2, 4, 8] {
            for (name, manners) in [("asking", Manners::ASKING), ("turns", Manners::TURNS)] {
                let load = Load { indexers, transaction, together: 5, seconds: 120 };
                let outcome = work(load, manners, 1);
                println!(
                    "{transaction:>8} ms{indexers:>10}{name:>12}{:>10.0}{:>15.2}{:>15.1}{:>17.1}",
                    outcome.batches * PLACES,
                    (CARRIED_OUT + REFUSED * outcome.refused) / PLACES,
                    outcome.asked,
                    outcome.longest_wait / 1_000.0
                );
            }
        }
    }
}
