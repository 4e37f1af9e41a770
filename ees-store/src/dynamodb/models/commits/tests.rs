//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::{ACKNOWLEDGED, KEY_ONCE, REFUSED};
use super::{Commits, Mutation};
use crate::models::{FIRST, NEXT, NEXT_WITH_SAME_KEY, OTHER_BODY, RIVAL, Wanted};

const NEXT_RIVAL: Wanted = Wanted { expects: 1, body: 6, ..RIVAL };

#[test]
fn a_commit_that_is_sent_again_is_stored_once_and_never_refused_because_of_itself() {
    holds(Commits::new(&[FIRST, RIVAL, NEXT, NEXT_RIVAL]), 21_000);
}

#[test]
fn a_key_with_another_body_is_told() {
    holds(Commits::new(&[FIRST, OTHER_BODY, NEXT_WITH_SAME_KEY]), 1_000);
}

#[test]
fn a_key_counts_for_its_time() {
    holds(Commits { time_passes: true, ..Commits::new(&[FIRST, NEXT_WITH_SAME_KEY]) }, 1_200);
}

#[test]
fn more_attempts_hold_too() {
    if is_large() {
        holds(Commits { attempts: 3, ..Commits::new(&[FIRST, OTHER_BODY, NEXT_WITH_SAME_KEY]) }, 89_000);
        holds(Commits { attempts: 3, ..Commits::new(&[FIRST, RIVAL, NEXT, NEXT_RIVAL]) }, 510_000);
        let passes = Commits::new(&[FIRST, OTHER_BODY, NEXT, NEXT_WITH_SAME_KEY]);
        holds(Commits { time_passes: true, ..passes }, 3_300);
    }
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    let next = || Commits::new(&[FIRST, NEXT_WITH_SAME_KEY]);
    for (mutation, model, property) in [
        (M::KeyIsLookedUpBeforeTheEnd, next(), KEY_ONCE),
        (M::LoserDoesNotLookAgain, Commits::new(&[FIRST, RIVAL]), REFUSED),
        (M::LookupIsNotConsistent, next(), KEY_ONCE),
        (M::OwnWriteIsNotRecognised, Commits::new(&[FIRST, RIVAL]), REFUSED),
        (M::WriteHasNoCondition, Commits::new(&[FIRST, RIVAL]), ACKNOWLEDGED),
        (M::BodyIsNotCompared, Commits::new(&[FIRST, OTHER_BODY]), ACKNOWLEDGED),
        (M::KeyIsForgotten, next(), KEY_ONCE),
    ] {
        is_found(Commits { mutation: Some(mutation), ..model }, property);
    }
}
