//! Which events are appended to which streams. `drivers/workload.mjs` and `drivers/workload.py` say the same.

use serde::{Deserialize, Serialize};

pub const EVENTS_AN_APPEND: usize = 2;
const EVENT_BYTES: usize = 200;

/// The data of an event: JSON of 200 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub account_id: String,
    pub amount: i64,
    pub currency: String,
    pub seq: i64,
    pub memo: String,
}

/// A number of events, in streams of equal length. Append `k` goes to stream `k * 7919 mod streams`: the
/// streams alternate in an order that jumps.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub events: usize,
    pub streams: usize,
}

impl Workload {
    pub fn appends(self) -> usize {
        self.events / EVENTS_AN_APPEND
    }

    pub fn stream(self, append: usize) -> usize {
        append * 7_919 % self.streams
    }

    /// How many events the stream has before this append, which every append expects.
    pub fn version(self, append: usize) -> usize {
        append / self.streams * EVENTS_AN_APPEND
    }

    pub fn events_a_stream(self) -> usize {
        self.events / self.streams
    }

    /// The events of an append to this stream. Their numbers begin at twice that of the append.
    pub fn payloads(self, stream: usize, append: usize) -> Vec<Payload> {
        let account = account_id(stream);
        (0..EVENTS_AN_APPEND).map(|n| payload(&account, append * EVENTS_AN_APPEND + n)).collect()
    }
}

/// The id of a stream.
pub fn account_id(stream: usize) -> String {
    format!("account-{stream:06}")
}

fn payload(account: &str, seq: usize) -> Payload {
    let amount = (seq * 37 % 1_000) as i64 - 300;
    let mut payload = Payload {
        account_id: account.to_owned(),
        amount,
        currency: "EUR".to_owned(),
        seq: seq as i64,
        memo: String::new(),
    };
    let bytes = serde_json::to_string(&payload).map_or(0, |json| json.len());
    payload.memo = "m".repeat(EVENT_BYTES.saturating_sub(bytes));
    payload
}
