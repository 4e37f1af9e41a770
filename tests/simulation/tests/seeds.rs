//! The simulation, as a test. `just simulate` runs more seeds, and optimized.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

const SIMULATE: &str = env!("CARGO_BIN_EXE_simulate");

fn simulate(arguments: &[&str]) -> Output {
    Command::new(SIMULATE).args(arguments).output().expect("the program was built")
}

#[test]
fn ten_seeds_keep_every_promise() {
    let ran = simulate(&["seeds", "10"]);
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}");
}

#[test]
fn a_seed_happens_in_the_same_way_each_time() {
    let [once, again] = [(), ()].map(|()| simulate(&["seed", "1000"]));
    assert!(once.status.success());
    assert_eq!(String::from_utf8_lossy(&once.stdout), String::from_utf8_lossy(&again.stdout));
}
