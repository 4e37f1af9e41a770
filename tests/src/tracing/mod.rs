//! A collector of traces and metrics, callers that have a trace, and an endpoint that tells which trace called it.

mod collector;
mod endpoint;
mod in_process;

pub use collector::{Collector, Received, id, links, parent, text};
pub use endpoint::endpoint;
pub use in_process::{caller, collector};
