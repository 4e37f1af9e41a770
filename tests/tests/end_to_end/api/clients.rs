//! Clients that public generators make from the description of the API: each commits, reads and steers.

use std::os::unix::fs::symlink;
use std::process::Command;

use ees_test_shared::node::Node;
use ees_test_shared::python;

use super::{KEY, World, beside};

/// The generator, and what builds its client.
const PYTHON: [&str; 2] = ["openapi-python-client==0.29.1", "setuptools==80.9.0"];

#[test]
fn a_generated_python_client_commits_reads_and_steers() {
    let Some(environment) = python::environment_if_reachable("openapi-python-venv", &PYTHON) else { return };
    let world = World::with_key(&["--store", "memory:"]);

    let mut generate = Command::new(environment.join("bin/openapi-python-client"));
    generate.args(["generate", "--path", "openapi.json", "--meta", "setup", "--output-path", "generated"]);
    generate.arg("--config").arg(beside("clients/openapi-python-client.yaml")).arg("--fail-on-warning");
    // The generator formats by its own `ruff`.
    let path = std::env::join_paths(
        [environment.join("bin")]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    world.run(generate.env("PATH", path.unwrap()));
    let python = environment.join("bin/python");
    let mut build = Command::new(&python);
    build.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]);
    world.run(build.args(["--no-build-isolation", "--target", "built", "./generated"]));

    let mut client = Command::new(&python);
    client.arg("-W").arg("error").arg(beside("clients/client.py")).args([&world.server.url(), KEY]);
    world.run(client.env("PYTHONPATH", world.path("built")));
}

#[test]
fn a_generated_typescript_client_commits_reads_and_steers() {
    let Some(node) = Node::with_packages_if_reachable("openapi-node", &beside("clients")) else { return };
    let world = World::with_key(&["--store", "memory:"]);

    symlink(node.folder().join("node_modules"), world.path("node_modules")).unwrap();
    for file in ["client.ts", "tsconfig.json"] {
        std::fs::copy(beside("clients").join(file), world.path(file)).unwrap();
    }
    let mut generate = node.command("node_modules/.bin/openapi-ts");
    world.run(generate.args(["--input", "openapi.json", "--output", "generated"]));
    world.run(node.command("node_modules/typescript/bin/tsc").args(["--project", "."]));
    world.run(node.command(world.path("built/client.js")).args([&world.server.url(), KEY]));
}
