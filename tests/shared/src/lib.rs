//! What all processes of a test run share (`cargo nextest` has one for each test).
//!
//! - [`binary`] and [`example`] are the programs under test, built once.
//! - [`server`] is a server that is started once, and is gone when nobody uses it any more.

#![allow(clippy::expect_used, clippy::panic, reason = "support of tests: it fails by panicking")]

mod build;
pub mod server;

pub use build::{binary, example};

use std::path::{Path, PathBuf};

/// The `target` folder: where all is kept that outlives a process.
///
/// Found from the running test, since a `target` that was copied from elsewhere has paths of there compiled in. Only the
/// programs of doctests lie outside of it.
///
/// # Panics
/// When the system does not know what runs.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the system knows what runs");
    let is_target =
        |folder: &&Path| ["CACHEDIR.TAG", ".rustc_info.json"].iter().any(|tag| folder.join(tag).exists());
    program.ancestors().find(is_target).map_or_else(|| workspace().join("target"), Path::to_owned)
}

/// The sources.
///
/// # Panics
/// Never: this package is two folders down.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders up")
}
