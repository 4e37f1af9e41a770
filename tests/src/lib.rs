//! Support for the end-to-end tests: real processes, real files, everything gone at the end.

#![allow(clippy::unwrap_used, reason = "support of tests: it fails by panicking")]

mod build;
mod server;

pub use build::{binary, example};
pub use server::{Killed, Server};
