//! The local AWS and its faults.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod emulator;
mod faults;
