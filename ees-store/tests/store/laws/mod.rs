//! Every store keeps the laws.

mod dynamodb;
mod memory;
mod postgres;
mod sqlite;

pub(crate) use sqlite::replace_events;
