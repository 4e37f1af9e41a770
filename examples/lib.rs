//! Whole small programs a user of ees would write, one lesson each:
//!
//! - `quickstart`: an embedded store, a read model of your own, a query.
//! - `account`: an aggregate, its rules under many hands at once, an old form of an event.
//! - `file_history`: a worker that follows a store over HTTP, on the history of a real repository.
//! - `accounts_postgres`: a table with columns in PostgreSQL, rebuilt beside itself while it is read.
//! - `own_sql_postgres`: SQL of your own, two tables, many events in one statement.
//!
//! Run one with `cargo run -p ees-examples --example quickstart`.
