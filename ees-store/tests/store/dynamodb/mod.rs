//! What is particular to the store in DynamoDB.

mod adopting;
mod conflicts;
mod contended;
mod costs;
mod doubts;
pub(crate) mod formats;
mod indexing;
mod keys;
mod late;
mod midway;
mod migrating;
mod racing;
mod segments;
mod simulated;
mod stuck;
mod support;
mod throughput;
mod unreadable;
