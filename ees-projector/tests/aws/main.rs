//! Messages through topics and queues, on the local AWS.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bad_day;
mod dying;
mod flaky;
mod notifying;
mod publishing;
mod stream;
mod support;
mod two_hosts;
mod waking;
