//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// The key is looked up before the stream's end is known.
    KeyIsLookedUpBeforeTheEnd,
    /// Who finds another changeset in the way is refused.
    LoserDoesNotLookAgain,
    /// A lookup may not see what was stored last.
    LookupIsNotConsistent,
    /// What is in the way is taken for somebody else's, also if the same call has written it.
    OwnWriteIsNotRecognised,
    /// A changeset is written whatever is there.
    WriteHasNoCondition,
    /// Another body with the same key is answered as a repeat.
    BodyIsNotCompared,
    /// A changeset is stored without its key.
    KeyIsForgotten,
}
