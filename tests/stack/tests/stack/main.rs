//! The stack of `deploy/template.yaml`, deployed to a local AWS with the functions of the current build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod contract;
mod dying;
mod events;
mod history;
mod rights;
mod signing;
mod support;
mod typed;
