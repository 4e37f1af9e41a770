//! The functions of the stack that `deploy/template.yaml` describes.
//!
//! - `api` serves the HTTP API behind API Gateway.
//! - `indexer` gives changesets their checkpoints: for each batch of the table's stream, and by a scheduled
//!   sweep.
//! - `publisher` publishes changesets to the topics, for each batch of the table's stream.
//! - `projector` updates the statistics, on a schedule.
//!
//! `environment` reads the environment variables. `calls` is the loop of the functions without HTTP, `metric` what
//! their logs tell CloudWatch.

pub mod api;
mod calls;
mod environment;
pub mod indexer;
pub mod projector;
pub mod publisher;

pub use environment::Environment;
