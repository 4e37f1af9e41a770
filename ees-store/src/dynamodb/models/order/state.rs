//! What is in the table, and what each process remembers.

/// The number of a changeset over all streams.
pub(super) type Number = u8;
/// A place, counted from where the log begins.
pub(super) type Place = u8;
/// A changeset with the place that it was read with.
pub(super) type Read = (Number, Option<Place>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// By stream.
    pub(super) stored: Vec<u64>,
    /// By changeset, as a plain read sees it.
    pub(super) places: Vec<Option<Place>>,
    /// The next place, as a plain read sees it.
    pub(super) counter: Place,
    pub(super) under_way: Option<Transaction>,
    pub(super) late_requests: Vec<Request>,
    /// By changeset, whether the global index shows it.
    pub(super) shown: Vec<bool>,
    /// It makes no difference which of them does what: so they are kept sorted.
    pub(super) indexers: Vec<Indexer>,
    pub(super) reader: Reader,
    pub(super) happened: Happened,
}

impl State {
    pub(super) fn sort_indexers(&mut self) {
        let mut order: Vec<_> = (0..self.indexers.len()).collect();
        order.sort_by(|one, other| self.indexers[*one].cmp(&self.indexers[*other]));
        if let Some(Transaction { by: Some(by), .. }) = &mut self.under_way {
            *by = order.iter().position(|at| at == by).unwrap();
        }
        self.indexers = order.into_iter().map(|at| self.indexers[at].clone()).collect();
    }
}

/// What is remembered of the last step only, to tell that it is possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Happened {
    #[default]
    Nothing,
    Collision,
    OwnPlaces,
    LateArrival,
    LeftBehind,
    SeveralStripes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) counter: Place,
    pub(super) batch: Vec<Number>,
}

/// Its conditions held. Now it is written, item by item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transaction {
    pub(super) request: Request,
    pub(super) counter_is_written: bool,
    /// By the batch.
    pub(super) written: Vec<bool>,
    /// Who waits for the answer.
    pub(super) by: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Indexer {
    pub(super) counter: Option<Place>,
    /// By stream, the last changeset that is known to have its place.
    pub(super) known: Vec<u64>,
    pub(super) has_set_aside: bool,
    pub(super) doing: Doing,
}

/// What an indexer is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Doing {
    Nothing,
    /// It reads the predecessors of its batch.
    ReadingBefore {
        waiting: Vec<Number>,
        asked: Vec<Number>,
    },
    /// It reads a stream backwards from here. Other predecessors come afterwards.
    ReadingStream {
        waiting: Vec<Number>,
        found: Vec<Number>,
        from: Number,
        later: Vec<Read>,
    },
    /// It looks at the counter, since that which it knows does not explain the first of these places.
    Judging {
        waiting: Vec<Number>,
        of: Of,
        reads: Vec<Read>,
        found: Vec<Number>,
        is_settled: bool,
    },
    /// All that goes before its batch has its place.
    Ready {
        waiting: Vec<Number>,
    },
    /// It sees what is left of its batch.
    ReadingBatch {
        waiting: Vec<Number>,
        length: usize,
    },
    /// Its transaction is under way.
    Waiting {
        waiting: Vec<Number>,
        length: usize,
    },
    /// It has moved the counter from here, and nothing else (with a mutation only).
    CounterMoved {
        waiting: Vec<Number>,
        length: usize,
        counter: Place,
    },
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Of {
    Predecessors,
    Stream { later: Vec<Read> },
    Batch { length: usize },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    pub(super) next: Place,
    pub(super) read: Vec<Number>,
    pub(super) reading: Option<Reading>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reading {
    pub(super) to: Place,
    pub(super) first_place_first: bool,
    /// What each partition has answered, by the number of its range.
    pub(super) answers: Vec<(usize, Entries, Option<Place>)>,
}

/// Entries of the order.
pub(super) type Entries = Vec<(Place, Number)>;
