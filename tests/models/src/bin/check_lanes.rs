//! Checks the model of a log in lanes at larger sizes than the tests do: `just check-lanes`.

use std::process::ExitCode;
use std::time::Instant;

use ees_test_models::checker::check;
use ees_test_models::lanes_model::{ENDS, Lanes};

fn main() -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sizes = [
        // Streams, lanes, indexers, cutters, an index that is late, readers by lane.
        (&[2, 2][..], &[2][..], 2, 2, false, false),
        (&[2, 1], &[1, 2], 2, 2, false, false),
        (&[2, 1], &[2, 1], 2, 2, false, false),
        (&[2, 1, 1], &[2, 3], 2, 1, false, false),
        (&[2, 1], &[1, 2, 1], 2, 1, false, true),
        (&[2, 2], &[2, 3], 1, 1, false, true),
        (&[2, 1], &[2, 1], 1, 1, true, true),
        (&[2, 1], &[2], 1, 3, false, false),
    ];
    println!(
        "{:<12}{:<12}{:>9}{:>9}{:>6}{:>9}{:>12}{:>9}",
        "streams", "lanes", "indexers", "cutters", "late", "by lane", "states", "seconds"
    );
    for (streams, plan, indexers, cutters, has_late_entries, has_readers_by_lane) in sizes {
        let (streams, plan) = (streams.to_vec(), plan.to_vec());
        let lanes =
            Lanes { streams, plan, indexers, cutters, has_late_entries, has_readers_by_lane, mistake: None };
        let began = Instant::now();
        let checked = check(lanes.clone(), threads);
        println!(
            "{:<12}{:<12}{indexers:>9}{cutters:>9}{:>6}{:>9}{:>12}{:>9}",
            format!("{:?}", lanes.streams),
            format!("{:?}", lanes.plan),
            if has_late_entries { "yes" } else { "" },
            if has_readers_by_lane { "yes" } else { "" },
            checked.states,
            began.elapsed().as_secs()
        );
        if !checked.failures.is_empty() || !checked.possible.contains(ENDS) {
            println!("does not hold: {checked:#?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
