//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A cut replaces the one that is there.
    CutWithoutCompareAndSet,
    /// A cut takes the counters as they were read, before the last cut perhaps: a lane goes back.
    CutTakesBack,
    /// A cut is written when nothing was placed since the last one.
    EmptyCut,
    /// The closing cut is written though no counter was closed.
    ClosingCutDoesNotClose,
    /// The closing cut is written though the last lane's counter was not closed.
    OneLaneStaysOpen,
    /// The closing cut and the item of the next generation are two writes.
    GenerationAfterTheClosingCut,
    /// The next generation begins where its closing cut begins.
    GenerationBeginsTooEarly,
    /// After a resize, places have the same keys as before.
    PositionsReused,
    /// A closed counter gives out places.
    PlacesInAClosedLane,
    /// Indexers use the new lanes as soon as they are wished for.
    NewLanesBeforeTheClosingCut,
    /// An indexer looks for the lane of a stream with the number of lanes that there was before.
    StreamInTwoLanes,
    /// The counter is moved without a look at what it is.
    CounterWithoutCompareAndSet,
    /// The counter is moved first, and the place written later.
    CounterMovedFirst,
    /// A changeset gets a place before the one that precedes it in its stream.
    PredecessorLeftOut,
    /// A changeset gets a place though it has one.
    PlacedTwice,
    /// A reader goes on behind the last cut, by the counters.
    ReadsBehindTheLastCut,
    /// A reader steps over an entry that the index does not show yet.
    LateEntrySteppedOver,
    /// A reader by lane begins the next generation when its own lane is finished, not all of them.
    ReaderByLaneDoesNotWait,
    /// A reader by lane waits for the generation before its own, which may be empty, and not for those before that.
    ReaderByLaneWaitsForOneGeneration,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::CutWithoutCompareAndSet,
        Self::CutTakesBack,
        Self::EmptyCut,
        Self::ClosingCutDoesNotClose,
        Self::OneLaneStaysOpen,
        Self::GenerationAfterTheClosingCut,
        Self::GenerationBeginsTooEarly,
        Self::PositionsReused,
        Self::PlacesInAClosedLane,
        Self::NewLanesBeforeTheClosingCut,
        Self::StreamInTwoLanes,
        Self::CounterWithoutCompareAndSet,
        Self::CounterMovedFirst,
        Self::PredecessorLeftOut,
        Self::PlacedTwice,
        Self::ReadsBehindTheLastCut,
        Self::LateEntrySteppedOver,
        Self::ReaderByLaneDoesNotWait,
        Self::ReaderByLaneWaitsForOneGeneration,
    ];
}
