//! Requests that schemathesis makes up from the description of the API, valid and invalid ones: the server
//! accepts what the description allows, refuses what it forbids, and answers as it says.

use std::process::Command;

use ees_test_postgres::TestDatabase;
use ees_test_shared::python;

use super::{KEY, World, beside};

const PACKAGES: [&str; 1] = ["schemathesis==4.32.5"];

/// Makes up requests for a server.
fn try_out(start: impl FnOnce() -> World) {
    let Some(environment) = python::environment_if_reachable("schemathesis-venv", &PACKAGES) else { return };
    let world = start();
    let mut schemathesis = Command::new(environment.join("bin/schemathesis"));
    schemathesis.arg("--config-file").arg(beside("conformance/schemathesis.toml"));
    schemathesis.args(["run", "openapi.json", "--url", &world.server.url()]);
    schemathesis.arg("--header").arg(format!("Authorization: Bearer {KEY}"));
    schemathesis.env("PYTHONPATH", beside("conformance")).env("PYTHONDONTWRITEBYTECODE", "1");
    world.run(&mut schemathesis);
}

#[test]
fn requests_made_up_from_the_description_are_answered_as_it_says() {
    try_out(|| World::open(&[]));
}

#[test]
fn requests_made_up_from_the_description_are_answered_as_it_says_on_postgresql_with_keys() {
    let database = TestDatabase::new_blocking();
    try_out(|| World::with_key(&["--store", database.url()]));
}
