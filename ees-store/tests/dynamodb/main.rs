//! What is particular to the store in DynamoDB.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod adopting;
mod conflicts;
mod costs;
mod doubts;
mod indexing;
mod late;
mod racing;
mod stuck;
mod support;
mod unreadable;
