//! The functions of the stack that `deploy/template.yaml` describes.
//!
//! - `api` is the HTTP API behind API Gateway.
//! - `indexer` gives changesets their place in the global order: on the table's stream, and by a sweep on a schedule.
//! - `publisher` puts them on the topics: on the table's stream.
//! - `projector` keeps the statistics: on a schedule.
//!
//! `environment` says where everything is.

pub mod api;
mod environment;
pub mod indexer;
pub mod projector;
pub mod publisher;

pub use environment::Environment;
