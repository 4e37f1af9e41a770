//! The order of a log in lanes, in every interleaving at small sizes.

use ees_test_models::checker::{check, check_for};
use ees_test_models::lanes_model::{
    CONTIGUOUS, ENDS, IMMUTABLE, LANES_IN_ORDER, Lanes, Mistake, RACES, REACHES_EVERYTHING, STREAMS_IN_ORDER,
};

/// Three changesets of two streams, one process of each kind.
fn small(plan: &[usize]) -> Lanes {
    Lanes {
        streams: vec![2, 1],
        plan: plan.to_vec(),
        indexers: 1,
        cutters: 1,
        has_late_entries: false,
        has_readers_by_lane: false,
        mistake: None,
    }
}

/// Panics with a shortest way to where it fails.
fn holds(lanes: &Lanes) {
    let checked = check(lanes.clone(), 2);
    assert!(checked.failures.is_empty(), "{lanes:?}: {:#?}", checked.failures);
    assert!(checked.possible.contains(ENDS), "{lanes:?} never ends");
    let has_races = lanes.cutters > 1 && lanes.plan.iter().any(|lanes| *lanes > 1);
    assert!(!has_races || checked.possible.contains(RACES), "{lanes:?} has no race");
}

#[test]
fn the_order_holds_with_one_process_of_each_kind() {
    for plan in [&[1][..], &[2], &[3]] {
        holds(&small(plan));
    }
}

#[test]
fn the_order_holds_with_racing_indexers_and_cutters() {
    holds(&Lanes { indexers: 2, cutters: 2, ..small(&[2]) });
}

#[test]
fn the_order_holds_through_resizes() {
    for plan in [&[1, 2][..], &[2, 1], &[2, 3], &[3, 2], &[1, 2, 1]] {
        holds(&small(plan));
    }
}

#[test]
fn the_order_holds_through_a_resize_with_racing_indexers_or_cutters() {
    holds(&Lanes { indexers: 2, ..small(&[2, 1]) });
    holds(&Lanes { cutters: 2, ..small(&[1, 2]) });
}

#[test]
fn the_order_holds_with_an_index_that_is_late() {
    holds(&Lanes { has_late_entries: true, ..small(&[2]) });
    holds(&Lanes { has_late_entries: true, ..small(&[1, 2]) });
}

#[test]
fn readers_by_lane_see_each_stream_in_its_order_through_resizes() {
    for plan in [&[1, 2][..], &[2, 1], &[2, 3], &[1, 2, 1]] {
        holds(&Lanes { has_readers_by_lane: true, ..small(plan) });
    }
}

/// A model in which a mistake is found, and the property that fails.
fn is_found(mistake: Mistake) -> (Lanes, &'static str) {
    match mistake {
        Mistake::CutWithoutCompareAndSet => (Lanes { cutters: 2, ..small(&[2]) }, IMMUTABLE),
        Mistake::CutTakesBack => (Lanes { cutters: 2, ..small(&[2]) }, CONTIGUOUS),
        Mistake::EmptyCut => (small(&[2]), REACHES_EVERYTHING),
        Mistake::ClosingCutDoesNotClose
        | Mistake::OneLaneStaysOpen
        | Mistake::GenerationAfterTheClosingCut => (small(&[2, 1]), REACHES_EVERYTHING),
        Mistake::GenerationBeginsTooEarly => (small(&[2, 1]), STREAMS_IN_ORDER),
        Mistake::PositionsReused => (small(&[1, 2]), IMMUTABLE),
        Mistake::PlacesInAClosedLane => (small(&[2, 1]), REACHES_EVERYTHING),
        Mistake::NewLanesBeforeTheClosingCut => (Lanes { indexers: 2, ..small(&[2, 1]) }, STREAMS_IN_ORDER),
        Mistake::StreamInTwoLanes => (Lanes { streams: vec![1, 2], ..small(&[1, 2]) }, STREAMS_IN_ORDER),
        Mistake::CounterWithoutCompareAndSet => (Lanes { indexers: 2, ..small(&[1]) }, IMMUTABLE),
        Mistake::CounterMovedFirst => (small(&[1]), CONTIGUOUS),
        Mistake::PredecessorLeftOut => (small(&[1]), STREAMS_IN_ORDER),
        Mistake::PlacedTwice => (Lanes { indexers: 2, ..small(&[1]) }, STREAMS_IN_ORDER),
        Mistake::ReadsBehindTheLastCut => (small(&[2]), IMMUTABLE),
        Mistake::LateEntrySteppedOver => (Lanes { has_late_entries: true, ..small(&[1]) }, IMMUTABLE),
        Mistake::ReaderByLaneDoesNotWait => {
            (Lanes { has_readers_by_lane: true, ..small(&[1, 2]) }, LANES_IN_ORDER)
        }
        Mistake::ReaderByLaneWaitsForOneGeneration => {
            (Lanes { has_readers_by_lane: true, ..small(&[1, 2, 1]) }, LANES_IN_ORDER)
        }
    }
}

#[test]
fn each_mistake_is_found() {
    for mistake in Mistake::ALL {
        let (sound, property) = is_found(mistake);
        let checked = check_for(property, Lanes { mistake: Some(mistake), ..sound.clone() });
        let found = checked.failures.keys().collect::<Vec<_>>();
        assert!(
            checked.failures.contains_key(property),
            "{mistake:?}: {property:?} does not fail, only {found:?}"
        );
        // It is the mistake that was found, and nothing else.
        holds(&sound);
    }
}
