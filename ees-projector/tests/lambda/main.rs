//! The handlers of functions, called with crafted events: a real log, real read models.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod messages;
mod notifications;
mod operators;
mod records;
mod schedule;
mod support;
