//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::{BY_THE_OWNER, ENDS, IN_ORDER, NOT_SWAPPED, ONCE, POSITION, SKIPS_KNOWN};
use super::{Mutation, Segments};

/// Two workers with a segment each.
fn shared() -> Segments {
    Segments {
        begun: 3,
        log_max: 4,
        partitions: 1,
        workers: 2,
        has_leases: true,
        takeovers: 0,
        operations: 0,
        mutation: None,
    }
}

/// One worker reads all.
fn alone() -> Segments {
    Segments { workers: 1, ..shared() }
}

#[test]
fn workers_that_share_a_rebuild_apply_each_changeset_once() {
    holds(Segments { takeovers: 1, ..shared() }, 1_000);
    holds(Segments { has_leases: false, ..shared() }, 1_000);
}

#[test]
fn a_segment_that_is_taken_over_goes_on_where_it_was() {
    holds(Segments { takeovers: 2, ..alone() }, 800);
    holds(Segments { has_leases: false, ..alone() }, 100);
}

#[test]
fn operators_do_no_harm_while_segments_are_read() {
    holds(Segments { operations: 1, begun: 2, log_max: 2, ..shared() }, 1_000);
    holds(Segments { operations: 1, log_max: 3, ..alone() }, 1_000);
}

#[test]
fn larger_rebuilds_hold_too() {
    if !is_large() {
        return;
    }
    holds(Segments { operations: 1, log_max: 3, ..shared() }, 39_000);
    holds(Segments { operations: 1, takeovers: 1, ..shared() }, 1_000);
    holds(Segments { operations: 1, partitions: 2, ..shared() }, 1_000);
    holds(Segments { log_max: 5, partitions: 3, takeovers: 1, ..shared() }, 1_000);
    holds(Segments { begun: 5, log_max: 5, workers: 3, has_leases: false, ..shared() }, 1_000);
    holds(Segments { operations: 2, has_leases: false, ..alone() }, 1_000);
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    let free = || Segments { has_leases: false, ..shared() };
    let operated = || Segments { operations: 1, ..shared() };
    for (mutation, model, property) in [
        (M::StepKeepsTheEpoch, free(), ONCE),
        (M::ProgressInAnotherTransaction, shared(), ONCE),
        (M::PlaceOfThePage, shared(), ONCE),
        (M::PositionMovesWithTheSegment, alone(), POSITION),
        (M::HeadIsNotNoted, alone(), ONCE),
        (M::CatchesUpFromTheEndOfTheLog, alone(), ONCE),
        (M::GoesOnAlone, shared(), IN_ORDER),
        (M::JoinedByTheFirst, shared(), ONCE),
        (M::AllReadTheFirstSegment, shared(), ONCE),
        (M::SegmentOfOwnStreams, shared(), ONCE),
        (M::ProgressKept, operated(), ONCE),
        (M::RowsNotWiped, operated(), ONCE),
        (M::DealtOutWhileReading, operated(), ONCE),
        (M::LeaseWithoutEpoch, Segments { takeovers: 1, ..shared() }, BY_THE_OWNER),
        (M::SkipsForgotten, operated(), SKIPS_KNOWN),
        (M::SkipNotedByThePartition, operated(), ONCE),
        (M::SkipEndsNoRebuild, Segments { operations: 2, ..alone() }, ENDS),
        (M::WholeKnowsOfNoSegments, shared(), NOT_SWAPPED),
    ] {
        is_found(Segments { mutation: Some(mutation), ..model }, property);
    }
}
