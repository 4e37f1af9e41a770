//! The HTTP client, against real servers and broken connections.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test by panicking")]

mod faults;
mod laws;
mod proxy;
mod serving;
mod talking;
