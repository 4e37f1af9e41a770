//! The targets, as tests.

use ees_test_fuzzing::{RUNS, targets};

targets! {
    api_keys: RUNS;
    bulk_answer: RUNS;
    bulk_body: RUNS;
    commit_body: RUNS;
    dead_letter: RUNS;
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
