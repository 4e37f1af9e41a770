//! The programs under test, built once.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// The command of that name, in the profile the tests run in: with everything, but for the benchmark only with what that
/// measures.
///
/// # Panics
/// When it can't be built.
pub fn binary(name: &str) -> PathBuf {
    let features = if cfg!(debug_assertions) { "postgres,dynamodb,sns" } else { "postgres" };
    build(name, &["-p", name, "--bin", name, "--features", features]);
    folder().join(name)
}

/// The example of that name.
///
/// # Panics
/// When it can't be built.
pub fn example(name: &str) -> PathBuf {
    build(name, &["-p", "ees-examples", "--example", name]);
    folder().join("examples").join(name)
}

fn build(name: &str, what: &[&str]) {
    static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut built = BUILT.lock().unwrap();
    if built.iter().any(|known| known == name) {
        return;
    }
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--profile", profile]).args(what);
    assert!(cargo.status().unwrap().success(), "{name} does not build");
    built.push(name.to_owned());
}

/// Where the profile's programs are: this test is one of them, two folders down.
fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}
