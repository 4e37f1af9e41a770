//! The targets, as tests.

use ees_test_fuzzing::{RUNS, fuzz};

macro_rules! targets {
    ($($target:ident: $runs:expr;)+) => {
        $(#[test]
        fn $target() {
            fuzz(stringify!($target), $runs, super::$target);
        })+
    };
}

targets! {
    commit_body: RUNS;
    event: RUNS;
    item: RUNS;
    json: RUNS;
    message: RUNS;
    name: RUNS;
    page: RUNS;
    path: RUNS;
    place: RUNS;
    problem: RUNS;
    query: RUNS;
    request: RUNS / 5;
    stored_body: RUNS;
    timestamp: RUNS;
    trace: RUNS;
}
