//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::{
    KNOWN_IS_TRUE, NOTHING_SET_ASIDE, ONE_CHANGESET_EACH, REACHES_EVERYTHING, READ_IN_ORDER, STREAMS_IN_ORDER,
};
use super::{Mutation, Order};

/// Two indexers that race, without a reader.
fn indexers() -> Order {
    Order {
        streams: vec![2, 1],
        begin: 24,
        indexers: 2,
        called_with: 1,
        batch_max: 2,
        late_requests: 0,
        indexers_die: false,
        indexers_doubt: true,
        has_reader: false,
        has_progress: false,
        mutation: None,
    }
}

/// A reader, and one indexer.
fn reader() -> Order {
    Order { indexers: 1, indexers_doubt: false, has_reader: true, has_progress: true, ..indexers() }
}

#[test]
fn racing_indexers_give_each_changeset_one_place_in_the_order_of_its_stream() {
    holds(indexers(), 100_000);
}

#[test]
fn indexers_that_die_and_requests_that_arrive_late_do_no_harm() {
    let one = Order { indexers: 1, ..indexers() };
    holds(Order { indexers_die: true, late_requests: 1, has_progress: true, ..one }, 22_000);
}

#[test]
fn a_reader_gets_each_place_once_and_in_order_however_late_the_index_is() {
    // Before the end of a stripe, and before the end of a page.
    for (begin, states_min) in [(24, 3_600), (999, 1_500)] {
        holds(Order { begin, ..reader() }, states_min);
    }
}

#[test]
fn larger_tables_hold_too() {
    if !is_large() {
        return;
    }
    holds(Order { indexers_die: true, late_requests: 1, ..indexers() }, 1_000);
    holds(Order { streams: vec![2, 2], called_with: 2, ..indexers() }, 1_000);
    holds(Order { has_progress: true, ..indexers() }, 1_000);
    holds(Order { indexers_doubt: true, ..reader() }, 1_000);
    // Before the first stripe comes again.
    holds(Order { streams: vec![2, 2], begin: 198, ..reader() }, 1_000);
    holds(Order { indexers: 2, ..reader() }, 1_000);
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    let progress = || Order { has_progress: true, ..indexers() };
    for (mutation, model, property) in [
        (
            M::BatchIsNotArranged,
            Order { indexers: 1, called_with: 2, batch_max: 3, ..indexers() },
            ONE_CHANGESET_EACH,
        ),
        (M::ToldBeforeThePredecessorIsStored, indexers(), STREAMS_IN_ORDER),
        (M::PredecessorsAreNotLookedFor, indexers(), STREAMS_IN_ORDER),
        (M::CounterIsNotCompared, indexers(), ONE_CHANGESET_EACH),
        (M::PlacesAreOverwritten, indexers(), ONE_CHANGESET_EACH),
        (M::CounterIsMovedFirst, Order { indexers_die: true, ..reader() }, REACHES_EVERYTHING),
        (M::CounterIsKeptAfterALoss, progress(), REACHES_EVERYTHING),
        (M::LostAnswerIsTakenForSuccess, Order { late_requests: 1, ..indexers() }, KNOWN_IS_TRUE),
        (M::RefusalIsTakenForPlaced, indexers(), KNOWN_IS_TRUE),
        (M::PlainReadDecidesWhatIsWrong, indexers(), NOTHING_SET_ASIDE),
        (M::EntryIsInAnotherStripe, reader(), REACHES_EVERYTHING),
        (M::ReaderTakesWhatIsBehindAGap, reader(), READ_IN_ORDER),
        (M::ReaderGoesOnAtTheEndOfItsRead, reader(), READ_IN_ORDER),
        (M::NobodySweeps, reader(), REACHES_EVERYTHING),
    ] {
        is_found(Order { mutation: Some(mutation), ..model }, property);
    }
}
