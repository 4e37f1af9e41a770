//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::{EACH, IN_ORDER, NOT_SKIPPED, SKIPS_KNOWN};
use super::{Mutation, Parked};

/// Three changesets of two streams.
fn whole() -> Parked {
    Parked { changesets: 3, by_segments: false, failures: 1, operations: 0, mutation: None }
}

#[test]
fn what_fails_waits_with_what_follows_it_while_other_streams_go_on() {
    holds(whole(), 500);
    holds(Parked { failures: 2, ..whole() }, 1_000);
}

#[test]
fn what_is_parked_in_a_segment_waits_for_its_end() {
    holds(Parked { by_segments: true, failures: 2, ..whole() }, 1_000);
}

#[test]
fn operators_neither_lose_nor_repeat_what_is_parked() {
    holds(Parked { operations: 1, ..whole() }, 1_000);
    holds(Parked { operations: 1, by_segments: true, ..whole() }, 1_000);
}

#[test]
fn more_failures_and_operations_hold_too() {
    if !is_large() {
        return;
    }
    holds(Parked { operations: 2, ..whole() }, 1_000);
    holds(Parked { operations: 2, by_segments: true, ..whole() }, 1_000);
    holds(Parked { changesets: 5, failures: 2, ..whole() }, 1_000);
    holds(Parked { changesets: 4, failures: 2, operations: 1, ..whole() }, 1_000);
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    let operated = || Parked { operations: 1, ..whole() };
    for (mutation, model, property) in [
        (M::FollowersApplied, whole(), IN_ORDER),
        (M::FailureNotParked, whole(), EACH),
        (M::ParkedInAnotherTransaction, whole(), EACH),
        (M::ParkedStreamsNotReadAgain, whole(), IN_ORDER),
        (M::RetryWithoutFence, whole(), EACH),
        (M::EarlierOnesIgnored, operated(), IN_ORDER),
        (M::ParkedKept, operated(), EACH),
        (M::SkippedStaysParked, operated(), NOT_SKIPPED),
        (M::SkippedInLiveStaysParked, operated(), NOT_SKIPPED),
        (M::SkipForgotten, Parked { operations: 2, ..whole() }, SKIPS_KNOWN),
        (M::ParkedForgottenInAJoin, Parked { operations: 2, ..whole() }, EACH),
    ] {
        is_found(Parked { mutation: Some(mutation), ..model }, property);
    }
}
