//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// What comes after a parked changeset of a stream is applied.
    FollowersApplied,
    /// What failed is passed, and not parked.
    FailureNotParked,
    /// The position moves in one transaction, and what failed is parked in the next one.
    ParkedInAnotherTransaction,
    /// A worker reads its row again, and not which streams are parked.
    ParkedStreamsNotReadAgain,
    /// What is retried is applied, whatever has become of it and of the row.
    RetryWithoutFence,
    /// What is retried is applied, though an earlier changeset of its stream waits by now.
    EarlierOnesIgnored,
    /// A rebuild keeps what is parked.
    ParkedKept,
    /// What is skipped stays parked.
    SkippedStaysParked,
    /// What is skipped in the live read model stays parked in this one.
    SkippedInLiveStaysParked,
    /// A rebuild does not know what was skipped.
    SkipForgotten,
    /// Partitions that are dealt out anew forget what was parked in the ones before.
    ParkedForgottenInAJoin,
}
