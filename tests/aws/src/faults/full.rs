//! Full items: the item has its maximum size, or its stream has.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Faults;

/// The stream and the number of each full changeset.
#[derive(Default)]
pub(super) struct Full(Mutex<Vec<(String, String)>>);

impl Full {
    /// The actions of a transaction that would update a full item.
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
    /// From now on, transactions that update this changeset are cancelled, as for a stream of 10 GB.
    pub fn fill(&self, stream_id: &str, changeset_id: u64) {
        let mut full = self.0.full.0.lock().unwrap_or_else(PoisonError::into_inner);
        full.push((stream_id.to_owned(), changeset_id.to_string()));
    }
}
