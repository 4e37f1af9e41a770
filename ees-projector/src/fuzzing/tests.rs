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
    gateway: RUNS;
    record: RUNS;
    signature: RUNS;
    state: RUNS;
}
