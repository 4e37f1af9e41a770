//! The local AWS and its faults.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod emulator;
mod faults;
