//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Keys are looked up when a batch is formed, not under the lock.
    KeysAreLookedUpBeforeTheLock,
    /// A changeset is stored, and its key is not.
    KeyIsNotStored,
    /// A batch may have the same key twice.
    KeyIsTwiceInABatch,
    /// Another body with the same key is answered as a repeat.
    BodyIsNotCompared,
    /// The streams' ends are read when a batch is formed, not under the lock.
    EndsAreReadBeforeTheLock,
    /// Rivals go into one batch as if they built on each other.
    RivalsAreOneRun,
    /// Commits are answered when the call is sent.
    AnswersBeforeTheCommit,
    /// After a lost connection everything is sent again, also without a key.
    AllIsSentAgain,
    /// After a lost connection nothing counts as stored.
    LostConnectionCountsAsRefusal,
    /// A commit that was held up is not tried again.
    HeldUpIsDropped,
    /// The commits of one caller go to the database as those of any.
    OrderIsForgotten,
    /// Who was not met is told of a conflict, also with a key that is known.
    RefusalComesBeforeTheKey,
}
