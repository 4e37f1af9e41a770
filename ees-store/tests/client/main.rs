//! The HTTP client, against real servers and broken connections.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod laws;
mod proxy;
mod serving;
mod talking;
