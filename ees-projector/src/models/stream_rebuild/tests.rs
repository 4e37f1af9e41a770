//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::EXACT;
use super::{Mutation, StreamRebuild};

/// Three changesets of two streams.
fn model() -> StreamRebuild {
    StreamRebuild { changesets: 3, workers: 1, failures: 1, operations: 0, mutation: None }
}

#[test]
fn a_row_is_made_anew_while_its_projection_goes_on() {
    holds(model(), 500);
}

#[test]
fn operators_may_do_what_they_like_meanwhile() {
    holds(StreamRebuild { operations: 1, ..model() }, 1_000);
}

#[test]
fn more_workers_failures_and_operations_hold_too() {
    if !is_large() {
        return;
    }
    holds(StreamRebuild { workers: 2, operations: 1, ..model() }, 1_000);
    holds(StreamRebuild { operations: 2, ..model() }, 1_000);
    holds(StreamRebuild { changesets: 5, failures: 2, ..model() }, 1_000);
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    let operated = || StreamRebuild { operations: 1, ..model() };
    for (mutation, model) in [
        (M::GoesOnAlways, operated()),
        (M::ParkedReplayed, model()),
        (M::SkippedReplayed, operated()),
        (M::RestNotReplayed, model()),
        (M::ReplacedWithoutFence, model()),
        (M::EpochKept, model()),
        (M::PartitionNotFenced, operated()),
    ] {
        is_found(StreamRebuild { mutation: Some(mutation), ..model }, EXACT);
    }
}
