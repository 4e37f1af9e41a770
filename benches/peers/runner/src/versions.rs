//! The versions of the peers, from the files that pin them.

use crate::peers::Peer;

const LOCK: &str = include_str!("../../drivers/Cargo.lock");
const NODE: [&str; 2] = [
    include_str!("../../drivers/emmett/package.json"),
    include_str!("../../drivers/message-db/package.json"),
];
const PYTHON: &str = include_str!("../../drivers/eventsourcing/requirements.txt");

/// The title of a peer with the version of its package.
pub(crate) fn title(peer: &Peer) -> String {
    match version(peer.package) {
        Some(version) => format!("{} {version}", peer.title),
        None => peer.title.to_owned(),
    }
}

fn version(package: &str) -> Option<&'static str> {
    if package.is_empty() {
        return None;
    }
    let quoted = |text: &'static str, before: &str| {
        let after = &text[text.find(before)? + before.len()..];
        after.split('"').next()
    };
    quoted(LOCK, &format!("name = \"{package}\"\nversion = \""))
        .or_else(|| NODE.iter().find_map(|text| quoted(text, &format!("\"{package}\": \""))))
        .or_else(|| PYTHON.lines().find(|line| line.starts_with(package))?.split("==").nth(1))
}
