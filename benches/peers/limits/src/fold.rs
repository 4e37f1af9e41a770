//! Events folded in memory, before they are written.

use std::collections::HashMap;

use peers_workload::Payload;

/// An event: its place in the log, its account, its amount.
pub(crate) struct Moved {
    pub(crate) position: i64,
    pub(crate) account: String,
    pub(crate) amount: i64,
}

impl Moved {
    pub(crate) fn new(position: i64, data: &str) -> Self {
        let Payload { account_id, amount, .. } = serde_json::from_str(data).unwrap();
        Self { position, account: account_id, amount }
    }
}

/// What the events add to a row.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) balance: i64,
    pub(crate) event_count: i64,
    pub(crate) last_event_id: i64,
}

pub(crate) fn fold(page: &[Moved]) -> HashMap<&str, Change> {
    let mut changes: HashMap<&str, Change> = HashMap::new();
    for event in page {
        let change = changes.entry(&event.account).or_default();
        change.balance += event.amount;
        change.event_count += 1;
        change.last_event_id = event.position;
    }
    changes
}
