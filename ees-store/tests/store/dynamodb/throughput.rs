//! How many places are given out in a second, and what they cost, when many changesets wait.

use std::time::{Duration, Instant};

use ees_store::dynamodb::Indexer;
use futures::future::join_all;

use super::simulated::{Simulated, Units};
use super::support::candidate;

/// The median of a transaction, as AWS's documentation and talks have it for the calls of one region.
const TRANSACTION: Duration = Duration::from_millis(25);
/// Changesets that a function on the table's stream gets at once.
const TOGETHER: usize = 990;

/// So many indexers, each with a part of the changesets: places in a second, and what was billed.
async fn measured(indexers: usize, changesets: usize) -> (f64, Units) {
    let simulated = Simulated::new(TRANSACTION);
    for stream in 0..changesets {
        simulated.add(&format!("s{stream}"));
    }
    let opened = join_all((0..indexers).map(|_| Indexer::open(simulated.config(), "log"))).await;
    let before = simulated.units();
    let began = Instant::now();
    let work = opened.into_iter().enumerate().map(|(number, indexer)| {
        let indexer = indexer.unwrap();
        let own = (0..changesets).filter(|stream| stream % indexers == number);
        let own: Vec<_> = own.map(|stream| candidate(&format!("s{stream}"), 1)).collect();
        tokio::spawn(async move {
            for together in own.chunks(TOGETHER) {
                indexer.index(together.to_vec()).await.unwrap();
            }
        })
    });
    let work: Vec<_> = work.collect();
    for indexer in join_all(work).await {
        indexer.unwrap();
    }
    let places_per_second = changesets as f64 / began.elapsed().as_secs_f64();
    assert!(simulated.places().into_iter().eq(0..changesets as u64), "places count from 0 without gaps");
    let mut units = simulated.units();
    units.table -= before.table;
    units.transactions.0 -= before.transactions.0;
    units.read -= before.read;
    (places_per_second, units)
}

/// Each partition of the index takes its share of the writes, and no more than that and a run of 25 places.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_stripe_takes_an_eighth_of_the_writes() {
    let changesets = 2_970;
    let (places_per_second, units) = measured(1, changesets).await;
    println!("{places_per_second:.0} places in a second, {units:?}");
    let mut stripes = [0; 8];
    for (partition, units) in units.index {
        assert!(units <= 125, "of a page: {partition} takes {units}");
        stripes[usize::try_from(partition % 8).unwrap()] += units;
    }
    assert_eq!(stripes.iter().sum::<usize>(), changesets);
    assert!(stripes.iter().all(|units| units.abs_diff(changesets / 8) <= 25), "{stripes:?}");
}

/// A measurement: `cargo test --workspace --test store -- --ignored --nocapture several_busy_indexers`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "a measurement, which depends on the machine"]
async fn several_busy_indexers() {
    println!("indexers  places/s  write units a place  read units a place  transactions  refused");
    for indexers in [1, 2, 4, 8] {
        let changesets = 7_920;
        let (places_per_second, units) = measured(indexers, changesets).await;
        let written = units.table + units.index.values().sum::<usize>();
        let a_place = |units: usize| units as f64 / changesets as f64;
        println!(
            "{indexers:>8}{places_per_second:>10.0}{:>21.2}{:>20.3}{:>14}{:>9}",
            a_place(written),
            a_place(units.read),
            units.transactions.0,
            units.transactions.1
        );
    }
}
