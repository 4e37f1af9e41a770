//! Fuzz targets: functions that take any bytes, and panic when a property does not hold. As those of `ees-store`.
#![expect(clippy::panic, reason = "a target fails by panicking")]

mod gateway;
mod record;
mod signature;
mod state;
#[cfg(test)]
mod tests;

pub use gateway::gateway;
pub use record::record;
pub use signature::signature;
pub use state::state;
