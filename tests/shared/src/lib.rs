//! What all processes of a test run share (`cargo nextest` has one for each test).
//!
//! - [`binary`] and [`example`] return the programs under test, built once.
//! - [`python`] and [`node`] install packages that tests use.
//! - [`server`] starts a server once, and ends it when no process uses it any more.

#![allow(clippy::expect_used, clippy::panic, reason = "support of tests: it fails by panicking")]

mod build;
mod installed;
pub mod node;
pub mod python;
pub mod server;

pub use build::{binary, example};

use std::path::{Path, PathBuf};

/// The `target` folder, for everything that outlives a process.
///
/// Found from the running test, because the compiled-in paths are wrong in a `target` that was copied from
/// elsewhere. Only the programs of doctests are outside of it.
///
/// # Panics
/// When the system does not know the running program.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the system knows what runs");
    let is_target =
        |folder: &&Path| ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|tag| folder.join(tag).exists());
    program.ancestors().find(is_target).map_or_else(|| workspace().join("target"), Path::to_owned)
}

/// The folder of the sources.
///
/// # Panics
/// Never: this package is two folders down.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up")
}
