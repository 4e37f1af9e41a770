//! What is particular to the store in DynamoDB.

mod adopting;
mod conflicts;
mod costs;
mod doubts;
mod indexing;
mod keys;
mod late;
mod racing;
mod stuck;
mod support;
mod unreadable;
