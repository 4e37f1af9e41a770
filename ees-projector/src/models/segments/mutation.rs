//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// A step within a segment keeps the epoch, and with it the position.
    StepKeepsTheEpoch,
    /// The rows are written in one transaction, how far the segment is read in the next one.
    ProgressInAnotherTransaction,
    /// A batch that is applied in part notes the end of its page.
    PlaceOfThePage,
    /// The position counts what is read of the segment.
    PositionMovesWithTheSegment,
    /// Segments are read up to where the log ends by now.
    HeadIsNotNoted,
    /// After its segment, a partition reads on at the end of the log.
    CatchesUpFromTheEndOfTheLog,
    /// A partition goes on after its segment, whatever the others have read.
    GoesOnAlone,
    /// The partitions are joined when the first of them has read its segment.
    JoinedByTheFirst,
    /// Each partition reads the first segment.
    AllReadTheFirstSegment,
    /// A partition leaves out of its segment what is not among its streams.
    SegmentOfOwnStreams,
    /// A rebuild that is begun anew goes on where the one before was.
    ProgressKept,
    /// A rebuild that is begun anew keeps the rows.
    RowsNotWiped,
    /// The streams are dealt out anew while segments are read.
    DealtOutWhileReading,
    /// A lease is taken over without a new epoch.
    LeaseWithoutEpoch,
    /// What was skipped in a segment is forgotten when they are joined.
    SkipsForgotten,
    /// What is skipped in the live read model is noted by the partition whose stream it will be.
    SkipNotedByThePartition,
    /// A rebuild whose last changeset is skipped waits for another one.
    SkipEndsNoRebuild,
    /// The row of the whole does not say that its partitions read segments.
    WholeKnowsOfNoSegments,
}
