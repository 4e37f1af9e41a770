//! The targets, as tests.

use ees_test_fuzzing::{RUNS, targets};

targets! {
    gateway: RUNS;
    record: RUNS;
    signature: RUNS;
    state: RUNS;
}
