//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// A batch takes its changesets as they came.
    BatchIsNotArranged,
    /// An indexer is told of a changeset before its predecessor is stored.
    ToldBeforeThePredecessorIsStored,
    /// Nobody looks for what goes before a batch.
    PredecessorsAreNotLookedFor,
    /// The counter is moved wherever it is.
    CounterIsNotCompared,
    /// A changeset gets a place though it has one.
    PlacesAreOverwritten,
    /// The counter is moved first, and the places are written in a second call.
    CounterIsMovedFirst,
    /// An indexer that met another one tries again with the counter that it knows.
    CounterIsKeptAfterALoss,
    /// A batch whose answer was lost counts as placed.
    LostAnswerIsTakenForSuccess,
    /// A batch that was refused counts as placed by the one who was faster.
    RefusalIsTakenForPlaced,
    /// A place beyond the counter, as a plain read sees it, counts as wrong.
    PlainReadDecidesWhatIsWrong,
    /// An entry is written to the stripe of the place before it.
    EntryIsInAnotherStripe,
    /// A reader takes what it finds, whatever is missing before it.
    ReaderTakesWhatIsBehindAGap,
    /// A reader goes on where its read ended, whatever it found.
    ReaderGoesOnAtTheEndOfItsRead,
    /// Nobody sweeps the table.
    NobodySweeps,
}
