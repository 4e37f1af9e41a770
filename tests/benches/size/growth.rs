//! The appends of a log that grows.

use std::collections::HashMap;

use ees_store::StreamId;

use crate::shared::workload::{Append, EVENTS_AN_APPEND};

/// Changesets of a stream of a hundred events.
pub(crate) const LONG: u64 = 50;
/// One append of so many goes to a stream of a hundred events.
const ONE_OF: u64 = 20;

/// A size of the log.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// How many times the smallest.
    pub(crate) times: u64,
    pub(crate) appends: u64,
    streams: u64,
    /// The last appends, which are measured.
    pub(crate) measured: u64,
}

impl Size {
    pub(crate) fn events(&self) -> u64 {
        self.appends * EVENTS_AN_APPEND
    }
}

/// What was appended so far.
#[derive(Default)]
pub(crate) struct Growth {
    appends: u64,
    last: HashMap<u64, u64>,
    /// The first append of the size that is being reached, and the first of its last ones.
    begun: u64,
    measured: u64,
    /// Streams of a hundred events, of this size and before it.
    long: u64,
    long_before: u64,
}

impl Growth {
    pub(crate) fn sizes(is_short: bool, largest: u64) -> Vec<Size> {
        let (part, measured) = if is_short { (25, 1_000) } else { (1, 30_000) };
        let size = |(times, streams)| Size {
            times,
            appends: 50_000 * times / part,
            streams: streams / part,
            measured,
        };
        let sizes = [(1, 10_000), (10, 100_000), (100, 300_000)].into_iter().map(size);
        sizes.filter(|size| size.times <= largest).collect()
    }

    /// From now on, the log grows to this size.
    pub(crate) fn begin(&mut self, size: &Size) {
        self.begun = self.appends;
        self.measured = size.appends - size.measured;
        self.long_before = self.long;
        self.long += (self.measured - self.begun) / ONE_OF / LONG;
    }

    /// How many appends are left until the last ones of the size, which are measured.
    pub(crate) fn unmeasured(&self) -> u64 {
        self.measured - self.appends
    }

    pub(crate) fn next(&mut self, size: &Size, appends: u64) -> Vec<Append> {
        let numbers = self.appends..self.appends + appends;
        self.appends += appends;
        numbers.map(|n| self.append(size, n)).collect()
    }

    fn append(&mut self, size: &Size, n: u64) -> Append {
        // Parallel writers would overtake each other in one of these streams.
        if n < self.measured && n.is_multiple_of(ONE_OF) {
            let (number, streams) = ((n - self.begun) / ONE_OF, self.long - self.long_before);
            let stream_id = long(self.long_before + number % streams);
            return Append { n, stream_id, last: number / streams };
        }
        // In an order that jumps.
        let stream = n.wrapping_mul(7_919) % size.streams;
        let last = self.last.entry(stream).or_default();
        let append = Append { n, stream_id: format!("account-{stream:08}").parse().unwrap(), last: *last };
        *last += 1;
        append
    }

    /// Streams of a hundred events, in an order that jumps. All of them are complete once a size is reached.
    pub(crate) fn long_streams(&self, number: u64) -> Vec<StreamId> {
        (0..number).map(|n| long(n.wrapping_mul(7_919) % self.long)).collect()
    }
}

fn long(number: u64) -> StreamId {
    format!("history-{number:08}").parse().unwrap()
}
