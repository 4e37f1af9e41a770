//! Small, complete programs on `ees`. Each teaches one thing:
//!
//! - `quickstart`: an embedded store, your own read model, a query.
//! - `account`: an aggregate, its rules under concurrent commands, an old form of an event.
//! - `file_history`: a worker that follows a store over HTTP, on the history of a real repository.
//! - `order_summary`: several folds as one projection, one of which looks up rows of another.
//! - `preview`: which rows a new version of a projection changes, before it is deployed.
//! - `accounts_postgres`: a table with columns in PostgreSQL, rebuilt side by side while it is read.
//! - `own_sql_postgres`: your own SQL, two tables, many events in one statement.
//!
//! Run one with `cargo run -p ees-examples --example quickstart`.
