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
        self.append(n).commit()
    }

    /// All appends, in their order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Append> {
        (0..self.appends).map(|n| self.append(n))
    }

    fn append(&self, n: u64) -> Append {
        let (stream_id, last) = self.stream(n);
        Append { n, stream_id, last }
    }

    /// The commits, by their number.
    pub(crate) fn commits(&self) -> impl Fn(u64) -> Commit + Clone + Send + 'static {
        let workload = *self;
        move |n| workload.commit(n)
    }
}

/// The `n`th append, to a stream whose last changeset is `last`.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) n: u64,
    pub(crate) stream_id: StreamId,
    pub(crate) last: u64,
}

impl Append {
    pub(crate) fn commit(&self) -> Commit {
        let events = Events::parse(&Workload::body(self.n)).unwrap();
        Commit::new(self.stream_id.clone(), Expectation::LastChangeset(self.last.into()), events)
    }
}
