//! The `ees` command and its API from outside, and the history of a real repository through the whole system.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod api;
mod attacks;
mod cli;
mod console;
mod file_history;
mod file_history_dynamodb;
mod file_history_postgres;
mod previewing;
mod tracing;
mod under_fire;
