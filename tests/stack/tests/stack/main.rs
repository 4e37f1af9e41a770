//! The stack of `deploy/template.yaml`, deployed to a local AWS with the functions as they are.
//! And what of the command has to do with AWS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod alarms;
mod cli;
mod contract;
mod dying;
mod environment;
mod events;
mod first_day;
mod history;
mod operating;
mod operators;
mod own_projection;
mod parameters;
mod restoring;
mod rights;
mod signing;
mod support;
mod tracing;
mod typed;
