//! The stack of `deploy/template.yaml`, deployed to a local AWS with the functions as they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod contract;
mod dying;
mod events;
mod history;
mod rights;
mod signing;
mod support;
mod typed;
