//! Prints what several indexers of one counter reach. `cargo run -p ees-test-models --bin load_indexers`

use ees_test_models::indexers::{Load, Manners, work};

fn main() {
    println!("transaction  indexers  turn  pause  leaves  batches/s  refused  asked  longest wait, ms");
    for transaction in [25, 100] {
        for (turn, confirms, pause_max, leaves) in [
            (1, 1, 500, 0), (10, 2, 500, 0), (10,2,100,100),(20, 2, 50, 50), (20, 2,100,100), (20,2,100,50), (40, 2, 50,50), (40,2,100,100), (20,3,100,100)] {
            for indexers in [1, 2, 4, 8] {
                let load = Load { indexers, transaction, together: 10, seconds: 60 };
                let outcome = work(load, Manners { turn, confirms, pause_max, leaves }, 1);
                println!(
                    "{transaction:>11}{indexers:>10}{turn:>6}{confirms:>3}{pause_max:>7}{leaves:>8}{:>11.1}{:>9.2}{:>7.2}{:>18.0}",
                    outcome.batches, outcome.refused, outcome.asked, outcome.longest_wait
                );
            }
        }
    }
}
