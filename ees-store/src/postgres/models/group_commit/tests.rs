//! The sizes that are checked.

use ees_test_models::checker::{holds, is_found, is_large};

use super::properties::{ACKNOWLEDGED, ALL_ANSWERED, IN_ORDER, KEY_ONCE, NUMBERED, REFUSED};
use super::{GroupCommit, Mutation};
use crate::models::{FIRST, NEXT, NEXT_WITH_SAME_KEY, OTHER_BODY, RIVAL, Wanted};

const ELSEWHERE: Wanted = Wanted { stream: "b", body: 6, ..RIVAL };

#[test]
fn rivals_with_and_without_a_key_are_stored_once_or_refused() {
    holds(GroupCommit::new(&[FIRST, RIVAL]), 2_700);
    holds(GroupCommit { processes: 1, ..GroupCommit::new(&[FIRST, RIVAL, ELSEWHERE]) }, 5_400);
}

#[test]
fn commits_that_build_on_each_other_are_stored_in_order_and_each_once() {
    holds(GroupCommit { processes: 1, ..GroupCommit::new(&[FIRST, NEXT, ELSEWHERE]) }, 19_000);
}

#[test]
fn what_one_caller_sends_is_stored_in_its_order_also_when_a_part_was_stored_before() {
    holds(in_order(), 1_000);
}

fn in_order() -> GroupCommit {
    GroupCommit { processes: 1, in_order: true, ..GroupCommit::new(&[FIRST, NEXT, ELSEWHERE]) }
}

#[test]
fn a_key_with_another_body_is_told() {
    holds(GroupCommit::new(&[FIRST, OTHER_BODY]), 18_000);
    holds(GroupCommit::new(&[FIRST, NEXT_WITH_SAME_KEY]), 14_000);
}

#[test]
fn processes_that_die_and_calls_that_arrive_late_store_nothing_twice() {
    let dies = GroupCommit { processes_die: true, late_calls: 1, ..GroupCommit::new(&[FIRST, RIVAL]) };
    holds(dies, 8_000);
}

#[test]
fn forgotten_keys_lose_nothing_that_was_acknowledged() {
    holds(GroupCommit { keys_are_forgotten: true, ..GroupCommit::new(&[FIRST, RIVAL]) }, 5_000);
}

#[test]
fn larger_groups_hold_too() {
    if !is_large() {
        return;
    }
    holds(GroupCommit::new(&[FIRST, NEXT]), 1_000);
    holds(GroupCommit::new(&[FIRST, RIVAL, NEXT]), 1_000);
    holds(GroupCommit { late_calls: 1, ..GroupCommit::new(&[FIRST, OTHER_BODY, NEXT]) }, 1_000);
    holds(GroupCommit { processes: 2, ..in_order() }, 1_000);
    holds(GroupCommit { attempts: 3, processes_die: true, ..GroupCommit::new(&[FIRST, NEXT]) }, 1_000);
}

/// Each mistake is found, where without it all holds.
#[test]
fn each_mutation_is_found() {
    use Mutation as M;
    for (mutation, wanted, property) in [
        (M::KeysAreLookedUpBeforeTheLock, [FIRST, RIVAL], REFUSED),
        (M::KeyIsNotStored, [FIRST, RIVAL], REFUSED),
        (M::KeyIsTwiceInABatch, [FIRST, NEXT_WITH_SAME_KEY], KEY_ONCE),
        (M::BodyIsNotCompared, [FIRST, OTHER_BODY], ACKNOWLEDGED),
        (M::EndsAreReadBeforeTheLock, [FIRST, RIVAL], NUMBERED),
        (M::RivalsAreOneRun, [FIRST, RIVAL], NUMBERED),
        (M::AnswersBeforeTheCommit, [FIRST, RIVAL], ACKNOWLEDGED),
        (M::AllIsSentAgain, [FIRST, RIVAL], REFUSED),
        (M::LostConnectionCountsAsRefusal, [FIRST, RIVAL], REFUSED),
        (M::HeldUpIsDropped, [FIRST, NEXT], ALL_ANSWERED),
        (M::RefusalComesBeforeTheKey, [FIRST, RIVAL], REFUSED),
    ] {
        is_found(GroupCommit { mutation: Some(mutation), ..GroupCommit::new(&wanted) }, property);
    }
    is_found(GroupCommit { mutation: Some(M::OrderIsForgotten), ..in_order() }, IN_ORDER);
}
