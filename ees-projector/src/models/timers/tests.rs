//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::{IN_TURN, KNOWN, NONE_LOST, NOT_GONE, NOT_PARKED, ONCE, SET_ONCE};
use super::{Does, Mutation, Timed};

const K: u8 = 0;
const L: u8 = 1;

/// A timer that a later event cancels.
fn cancelled() -> Timed {
    Timed {
        events: vec![Does::Set(K), Does::Cancel(K)],
        passed: 0,
        series: 0,
        ticks: 2,
        failures: 0,
        crashes: 0,
        interventions: 0,
        mutation: None,
    }
}

/// A timer that sets the next one of its key.
fn series() -> Timed {
    Timed { events: vec![Does::Set(K)], series: 1, ..cancelled() }
}

/// A timer that a later event replaces.
fn replaced() -> Timed {
    Timed { events: vec![Does::Set(K), Does::Set(K)], ..cancelled() }
}

/// A timer that nothing else touches.
fn once() -> Timed {
    Timed { series: 0, ..series() }
}

#[test]
fn a_timer_fires_once_in_its_turn_unless_it_is_cancelled() {
    holds(Timed { ticks: 1, ..cancelled() }, 1_000);
    holds(Timed { ticks: 1, ..replaced() }, 1_000);
}

#[test]
fn the_next_of_a_series_is_set_when_one_has_fired() {
    holds(series(), 27_000);
}

#[test]
fn a_timer_that_fails_or_whose_worker_crashes_fires_again() {
    holds(Timed { failures: 1, ..once() }, 1_000);
    holds(Timed { crashes: 1, ..once() }, 1_000);
}

#[test]
fn operators_and_workers_that_take_over_lose_no_timer() {
    holds(Timed { interventions: 1, ticks: 1, ..series() }, 1_000);
}

#[test]
fn more_timers_and_faults_hold_too() {
    if !is_large() {
        return;
    }
    holds(cancelled(), 150_000);
    holds(replaced(), 180_000);
    holds(Timed { failures: 1, ..cancelled() }, 130_000);
    holds(Timed { crashes: 1, ..series() }, 145_000);
    holds(Timed { failures: 1, ..series() }, 1_000);
    holds(Timed { interventions: 1, ticks: 1, ..cancelled() }, 1_000);
    holds(Timed { interventions: 2, ticks: 1, ..replaced() }, 1_000);
    holds(
        Timed { events: vec![Does::Set(K), Does::Set(L), Does::Cancel(K)], ticks: 1, ..cancelled() },
        1_000,
    );
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    let failing = |model| Timed { failures: 1, ..model };
    let crashing = |model| Timed { crashes: 1, ..model };
    for (mutation, model, property) in [
        (M::FiresWithoutTheLog, cancelled(), IN_TURN),
        (M::TimeOfTheAnswer, cancelled(), IN_TURN),
        (M::SeenBeforeItWentBack, Timed { passed: 2, interventions: 1, ..cancelled() }, IN_TURN),
        (M::ParkedStreamsFire, failing(cancelled()), NOT_PARKED),
        (M::BeginsWithoutFence, failing(cancelled()), NOT_PARKED),
        (M::BeginsWhateverIsSet, cancelled(), NOT_GONE),
        (M::AttemptsOfOthersIgnored, series(), ONCE),
        (M::EndsWhateverIsSet, replaced(), NONE_LOST),
        (M::FailureIsTheEnd, failing(series()), NONE_LOST),
        (M::NextBeforeTheEnd, series(), NONE_LOST),
        (M::EventSetsAgain, crashing(series()), SET_ONCE),
        (M::TimerInAnotherTransaction, series(), NONE_LOST),
        (M::TimersKnownForGood, cancelled(), KNOWN),
        (M::OwnTimersForgotten, series(), KNOWN),
        (M::ChangedCountsAsFired, series(), KNOWN),
    ] {
        is_found(Timed { ticks: 1, mutation: Some(mutation), ..model }, property);
    }
}
