//! The programs under test, built once.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use crate::workspace;

/// The command (`ees`), or a program of functions for AWS, in the profile the tests run in: with everything, but for the
/// benchmark only with what that measures.
///
/// # Panics
/// When it can't be built.
pub fn binary(name: &str) -> PathBuf {
    if cfg!(debug_assertions) {
        build_all();
    } else {
        build(name, &["-p", name, "--bin", name, "--features", "postgres"]);
    }
    folder().join(name)
}

/// The example of that name.
///
/// # Panics
/// When it can't be built.
pub fn example(name: &str) -> PathBuf {
    if cfg!(debug_assertions) {
        build_all();
    } else {
        build(name, &["-p", "ees-examples", "--example", name]);
    }
    folder().join("examples").join(name)
}

/// Builds all of them together, as parts of the workspace: so they have the features that everything has in `cargo test
/// --workspace`, and only they themselves are left to build. An example makes Cargo count the features of the tests in.
fn build_all() {
    let bins = ["--bin", "ees", "--bin", "bootstrap", "--bin", "own_projection"];
    build(
        "the programs",
        &[&["--workspace", "--example", "file_history", "--example", "preview"], &bins[..]].concat(),
    );
}

fn build(name: &str, what: &[&str]) {
    static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().expect("no build has panicked");
    if built.iter().any(|known| known == name) {
        return;
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--profile", profile]).args(what).current_dir(workspace());
    assert!(cargo.status().expect("cargo runs").success(), "{name} can't be built");
    built.push(name.to_owned());
}

/// Where the profile's programs are: this test is one of them, two folders down.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("the system knows what runs");
    test.ancestors().nth(2).expect("two folders up").to_owned()
}
