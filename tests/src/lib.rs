//! Support for the end-to-end tests: real processes, real files, and nothing left at the end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "support of tests: it fails by panicking")]

mod checked;
mod command;
pub mod history;
pub mod kills;
pub mod read_models;
mod server;
pub mod tracing;

pub use checked::Checked;
pub use command::{Ran, ees, run};
pub use ees_test_shared::{binary, example};
pub use server::{Killed, Server};
