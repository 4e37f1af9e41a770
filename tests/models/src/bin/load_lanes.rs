//! Simulates lanes under load and prints what came of it: `just load-lanes`.

use ees_test_models::lanes_load::{Load, simulate};

fn main() {
    let changesets = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    println!("{changesets} changesets of up to 1 KB, 10 cuts a second by two cutters\n");
    println!(
        "{:>5}{:>11}{:>10}{:>10}{:>12}{:>12}{:>8}{:>9}{:>12}",
        "lanes", "commits/s", "places/s", "behind", "median ms", "99 % ms", "cuts/s", "refused", "units each"
    );
    let loads = [1, 4, 16, 32].map(|lanes| (lanes, 20_000.0));
    // What these can take.
    let fitting = [1, 4, 16].map(|lanes| (lanes, 600.0 * lanes as f64));
    for (lanes, commits_per_second) in loads.into_iter().chain(fitting) {
        let load = Load {
            lanes,
            commits_per_second,
            changesets,
            kilobytes: 1,
            cuts_per_second: 10.0,
            cutters: 2,
            seed: 1,
        };
        let outcome = simulate(&load);
        let keeps_up = outcome.behind < 1.0;
        let delay = |ms: usize| if keeps_up { ms.to_string() } else { "grows".to_owned() };
        println!(
            "{lanes:>5}{commits_per_second:>11.0}{:>10.0}{:>10}{:>12}{:>12}{:>8.1}{:>9.2}{:>12.2}",
            outcome.places_per_second(),
            if keeps_up { "no".to_owned() } else { format!("{:.0} s", outcome.behind) },
            delay(outcome.delay_median),
            delay(outcome.delay_p99),
            outcome.cuts_per_second(),
            outcome.refused as f64 / outcome.seconds,
            outcome.units_per_changeset()
        );
    }
}
