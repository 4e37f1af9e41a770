//! Every store keeps the laws.

mod dynamodb;
mod memory;
mod postgres;
mod shared_log;
pub(crate) mod sqlite;

pub(crate) use sqlite::replace_events;
