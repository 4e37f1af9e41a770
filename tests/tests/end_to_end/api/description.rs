//! The description of the API, by a public validator.

use std::process::Command;

use ees_test_shared::python;
use ees_tests::Server;

const VALIDATOR: &str = "openapi-spec-validator==0.9.0";

#[test]
fn the_description_of_the_api_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path().join("data"), &["--store", "memory:"]);
    let described = folder.path().join("openapi.json");
    std::fs::write(&described, server.get_text("/openapi.json")).unwrap();

    let python = python::environment("openapi-venv", &[VALIDATOR]).join("bin/python");
    let mut validator = Command::new(python);
    validator.args(["-m", "openapi_spec_validator", "--errors", "all"]).arg(&described);
    let validated = validator.output().unwrap();
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stdout));
}

#[test]
fn every_refusal_is_described_with_a_schema() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path().join("data"), &["--store", "memory:"]);
    let api = server.get_json("/openapi.json");
    let mut refusals = 0;
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let answer = answer["$ref"].as_str().map_or(answer, |it| api.pointer(&it[1..]).unwrap());
                assert!(answer["description"].is_string(), "{method} {path} {status}");
                if status.starts_with(['4', '5']) {
                    refusals += 1;
                    let schema = &answer["content"]["application/json"]["schema"];
                    assert!(schema.is_object(), "{method} {path} {status}");
                }
            }
        }
    }
    assert!(refusals > 100, "{refusals}");
}
