//! The history of a real repository, in `tests/data`, and the read models that must result from it.
//!
//! Each file is a stream, and its events are what happened to it.

use std::io::{BufReader, Read};

use ees_store::{Commit, Events, Expectation, Json, StreamId};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

/// The file: one changeset per line, in the order of the repository.
pub const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/axum-history.changesets.jsonl.gz");
const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/axum-history.tree.tsv.gz");

/// A changeset of the history, as it must be committed.
#[derive(Deserialize)]
pub struct Line {
    /// The file's path.
    pub stream_id: StreamId,
    /// The number of earlier changesets of this file.
    pub expected_last_changeset: u64,
    /// What happened to the file.
    pub events: Json,
    /// The commit in the repository.
    pub metadata: Json,
}

impl Line {
    /// The changeset as a commit to the store.
    ///
    /// # Panics
    /// When the history file is damaged.
    pub fn commit(&self) -> Commit {
        let expectation = Expectation::LastChangeset(self.expected_last_changeset.into());
        let events = Events::parse(self.events.as_str()).unwrap();
        Commit::new(self.stream_id.clone(), expectation, events).with_metadata(self.metadata.clone()).unwrap()
    }
}

/// The history.
///
/// # Panics
/// When the history file is damaged.
pub fn lines() -> Vec<Line> {
    unpacked(HISTORY).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The files that exist in the end, as `path <TAB> mode <TAB> blob`, sorted.
///
/// # Panics
/// When the history file is damaged.
pub fn expected_tree() -> String {
    unpacked(TREE)
}

/// The answer of `GET /streams` in the end.
///
/// # Panics
/// When the history file is damaged.
pub fn expected_totals() -> Value {
    serde_json::from_str(include_str!("../data/axum-history.totals.json")).unwrap()
}

fn unpacked(file: &str) -> String {
    let mut text = String::new();
    GzDecoder::new(BufReader::new(std::fs::File::open(file).unwrap())).read_to_string(&mut text).unwrap();
    text
}
