//! The store from outside: the laws on every backend, what is particular to each, the HTTP contract and its client.
//!
//! One program: linking one for each of them took minutes, and the tests of one backend use the time that those of
//! another wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod client;
mod dynamodb;
mod http;
mod laws;
mod postgres;
mod shared_log;
mod sqlite_file;
