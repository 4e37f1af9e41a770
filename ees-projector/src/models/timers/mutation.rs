//! What an implementation could get wrong.

/// A mistake that is put into the model, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// A timer fires when it is due, whatever the log has.
    FiresWithoutTheLog,
    /// The log is taken to be read up to when it was acted on.
    TimeOfTheAnswer,
    /// What was acted on before an operator moved the reactor back counts as acted on.
    SeenBeforeItWentBack,
    /// The timers of a parked stream fire.
    ParkedStreamsFire,
    /// A firing begins without a look at the row.
    BeginsWithoutFence,
    /// A firing begins without a look at what is set.
    BeginsWhateverIsSet,
    /// A firing begins though another worker may be at it.
    AttemptsOfOthersIgnored,
    /// A firing that ends takes away whatever is set under its key.
    EndsWhateverIsSet,
    /// A timer that fails is given up.
    FailureIsTheEnd,
    /// A firing sets the next timer of its key before it is done.
    NextBeforeTheEnd,
    /// An event that arrives again sets its timer again.
    EventSetsAgain,
    /// The ledger has a timer as set in one transaction, the timer is set in the next one.
    TimerInAnotherTransaction,
    /// A worker that finds a row moved takes the timers for those that it knows.
    TimersKnownForGood,
    /// A worker forgets what its own firings have set.
    OwnTimersForgotten,
    /// A timer that another worker has changed meanwhile counts as fired.
    ChangedCountsAsFired,
}
