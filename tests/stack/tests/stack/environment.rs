//! The environment variables of the functions: what one of them does not know, it refuses when it starts.

use std::path::PathBuf;
use std::process::Command;

use ees_tests::{binary, run};

/// A function outside of Lambda, on a machine without AWS: it gets as far as its settings.
fn function(program: PathBuf, variables: &[(&str, &str)]) -> Command {
    let mut function = Command::new(program);
    function.env_clear().envs([
        ("AWS_REGION", "eu-central-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("EES_TABLE", "log"),
    ]);
    function.envs(variables.to_vec());
    function
}

#[test]
fn a_function_names_the_variable_that_it_does_not_know_and_what_it_may_be() {
    for (variable, value, told) in [
        ("EES_NO_DOCS", "yes", "EES_NO_DOCS is \\\"yes\\\": it must be true or false"),
        ("EES_API_KEYS", "reads:k", "EES_API_KEYS: API key 1"),
        ("EES_CORS_ORIGINS", "example.com", "EES_CORS_ORIGINS: "),
        ("_HANDLER", "apis", "it must be api, indexer, publisher or projector"),
    ] {
        let variables = [("_HANDLER", "api"), ("EES_READ_MODELS", "rows"), (variable, value)];
        let refused = run(&mut function(binary("bootstrap"), &variables)).failed(1);
        assert!(refused.contains(told), "{variable}: {refused}");
    }
}

#[test]
fn a_projection_of_ones_own_takes_no_typing_error_for_a_pause() {
    for (variable, value, told) in [
        ("ON_FAILURE", "Park", "ON_FAILURE is \\\"Park\\\": it must be pause or park"),
        ("EES_API_KEYS", "reads:k", "EES_API_KEYS: API key 1"),
    ] {
        let refused = run(&mut function(binary("own_projection"), &[(variable, value)])).failed(1);
        assert!(refused.contains(told), "{variable}: {refused}");
    }
}
