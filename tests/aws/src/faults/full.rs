//! An item that takes no more: it is as large as one can be, or its stream is.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Faults;

/// Stream and number of what takes no more.
#[derive(Default)]
pub(super) struct Full(Mutex<Vec<(String, String)>>);

impl Full {
    /// Which actions of a transaction would update such an item.
    pub(super) fn actions(&self, transaction: &Value) -> Vec<usize> {
        let full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |action: &Value| {
            let key = &action["Update"]["Key"];
            full.iter().any(|(stream, number)| {
                key["stream_id"]["S"] == stream.as_str() && key["changeset_id"]["N"] == number.as_str()
            })
        };
        let actions = transaction["TransactItems"].as_array().into_iter().flatten();
        actions.enumerate().filter(|(_, action)| is_full(action)).map(|(at, _)| at).collect()
    }
}

impl Faults {
    /// From now on a transaction that updates this changeset is cancelled, as one of a stream of 10 GB would be.
    pub fn fill(&self, stream_id: &str, changeset_id: u64) {
        let mut full = self.0.full.0.lock().unwrap_or_else(PoisonError::into_inner);
        full.push((stream_id.to_owned(), changeset_id.to_string()));
    }
}
