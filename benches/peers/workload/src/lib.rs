//! What all drivers in Rust share.
//!
//! - [`Task`] is what the runner asks of a driver: one [`Part`] of the comparison.
//! - [`Workload`] says which events are appended to which streams.
//! - [`append`], [`live`] and [`read`] put the load on a peer, and measure it.
//! - [`account`] is the read model in PostgreSQL, which every projection makes of the events.
//! - [`Report`] is what a driver says at the end: what it measured, and the state that was left.

pub mod account;
pub mod append;
pub mod live;
pub mod postgres;
pub mod read;
mod report;
mod task;
mod times;
mod workload;

pub use report::{Report, View};
pub use task::{Part, Task};
pub use times::Times;
pub use workload::{EVENTS_AN_APPEND, Payload, Workload, account_id};
