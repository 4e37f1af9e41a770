//! What of the `ees` command has to do with AWS, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod dynamodb;
mod publishing;
