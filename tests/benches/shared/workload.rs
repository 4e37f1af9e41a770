//! Workload W.

use ees_store::{Commit, Events, Expectation, StreamId};

#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) appends: u64,
    pub(crate) streams: u64,
    /// The number of the first stream: parallel processes have separate streams.
    pub(crate) first_stream: u64,
}

pub(crate) const EVENTS_AN_APPEND: u64 = 2;

impl Workload {
    pub(crate) fn events(&self) -> u64 {
        self.appends * EVENTS_AN_APPEND
    }

    /// The `n`th append. The streams alternate, in an order that jumps.
    pub(crate) fn stream(&self, n: u64) -> (StreamId, u64) {
        let stream = (n % self.streams).wrapping_mul(7_919) % self.streams;
        (format!("account-{:08}", self.first_stream + stream).parse().unwrap(), n / self.streams)
    }

    pub(crate) fn body(n: u64) -> String {
        let event = |amount: u64| {
            format!(
                r#"{{"type":"deposited","amount":{amount},"currency":"EUR","reference":"{:0>40}","note":"{}"}}"#,
                n,
                "x".repeat(200 - 118)
            )
        };
        format!("[{},{}]", event(n % 100), event(n % 7))
    }

    pub(crate) fn commit(&self, n: u64) -> Commit {
        let (stream, last) = self.stream(n);
        Commit::new(stream, Expectation::LastChangeset(last.into()), Events::parse(&Self::body(n)).unwrap())
    }
}
