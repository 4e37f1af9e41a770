//! Whole small programs a user of ees would write, one lesson each:
//!
//! - `quickstart`: an embedded store, a read model of your own, a query.
//! - `file_history`: a worker that follows a store over HTTP, on the history of a real repository.
//!
//! Run one with `cargo run -p ees-examples --example quickstart`.
