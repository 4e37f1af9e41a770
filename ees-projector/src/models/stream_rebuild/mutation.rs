//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// A replay goes on, wherever the read model has gone since.
    GoesOnAlways,
    /// What is parked is replayed.
    ParkedReplayed,
    /// What was skipped is replayed.
    SkippedReplayed,
    /// What the read model has applied since the replay is not replayed before the row is replaced.
    RestNotReplayed,
    /// The row is replaced, wherever the read model is by then.
    ReplacedWithoutFence,
    /// The rows that say what was applied keep their epoch, so that a worker in the middle of a step does not notice.
    EpochKept,
    /// Of a read model in partitions, only the row of the whole is compared and moved.
    PartitionNotFenced,
}
