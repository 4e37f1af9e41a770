//! A worker that follows a store over HTTP. It keeps the current files of a repository, from the history of
//! each.
//!
//! Each file is a stream, and its events are what happened to it. Start `ees serve`, then run:
//!
//! - `file_history follow`: keeps the read model up to date until it is stopped;
//! - `file_history tree`: prints the files that exist, as `path <TAB> mode <TAB> blob`;
//! - `file_history rebuild`: clears the read model and rebuilds it.
//!
//! Without a command, it shows all of this in one process, on the history in this repository.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ees_projector::sqlite::Database;
use ees_projector::{Fold, Order, Projector, Recorded, Running, Settings};
use ees_store::client::Client;
use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation, Json, StreamId, sqlite};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(tag = "type")]
enum FileEvent {
    #[serde(rename = "file_added")]
    Added(File),
    #[serde(rename = "file_changed")]
    Changed(File),
    #[serde(rename = "file_deleted")]
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct File {
    mode: String,
    blob: String,
}

/// The files that exist: a row for each path.
struct FileTree;

impl FileTree {
    const NAME: &str = "file_tree";
}

impl Fold for FileTree {
    type Event = FileEvent;
    type Key = String;
    type State = File;

    fn name(&self) -> &str {
        Self::NAME
    }

    fn order(&self) -> Order {
        Order::Stream
    }

    fn key(&self, event: Recorded<'_, FileEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }

    fn fold(&self, _: Option<File>, event: Recorded<'_, FileEvent>) -> Option<File> {
        match event.event {
            FileEvent::Added(file) | FileEvent::Changed(file) => Some(file.clone()),
            FileEvent::Deleted => None,
        }
    }
}

#[derive(Parser)]
struct Arguments {
    /// The URL of the store.
    #[arg(long, env = "EES_URL", default_value = "http://127.0.0.1:7070")]
    url: String,
    /// The file of the read model.
    #[arg(long, default_value = "file-tree.db")]
    read_model: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the read model up to date until stopped.
    Follow,
    /// Apply everything, then print the files that exist.
    Tree,
    /// Clear the read model and rebuild it.
    Rebuild,
}

fn start(log: Arc<dyn ChangesetLog>, read_model: &Database) -> Result<Running, Box<dyn Error>> {
    let mut projector = Projector::new(log);
    projector.fold(FileTree, read_model.clone(), Settings::default())?;
    Ok(projector.start())
}

async fn caught_up(log: &dyn ChangesetLog, running: &Running) -> Result<(), Box<dyn Error>> {
    let head = log.head().await?.checkpoint;
    Ok(running.handle().when_reached(FileTree::NAME, head, Duration::from_secs(600)).await?)
}

async fn tree(read_model: &Database) -> Result<String, Box<dyn Error>> {
    let query = "SELECT key || char(9) || (state ->> 'mode') || char(9) || (state ->> 'blob') || char(10)
                 FROM file_tree ORDER BY key";
    let lines = read_model.read(move |db| {
        db.prepare(query)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
    });
    Ok(lines.await?.concat())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let Some(command) = arguments.command else { return all_in_one().await };
    let read_model = Database::open(&arguments.read_model)?;
    let log = Arc::new(Client::new(&arguments.url)?);
    let running = start(log.clone(), &read_model)?;
    match command {
        Command::Follow => tokio::signal::ctrl_c().await?,
        Command::Tree => {
            caught_up(&*log, &running).await?;
            print!("{}", tree(&read_model).await?);
        }
        Command::Rebuild => {
            running.handle().rebuild(FileTree::NAME, "requested on the command line").await?;
            caught_up(&*log, &running).await?;
        }
    }
    running.shut_down().await;
    Ok(())
}

/// Commits the real history to an embedded store, follows it with a read model, and rebuilds that.
async fn all_in_one() -> Result<(), Box<dyn Error>> {
    let data = std::env::temp_dir().join(format!("ees-file-history-{}", std::process::id()));
    std::fs::create_dir_all(&data)?;
    let store = Arc::new(sqlite::Store::open(data.join("log.db"))?);
    let read_model = Database::open(data.join("file-tree.db"))?;
    let running = start(store.clone(), &read_model)?;
    let history =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/axum-history.changesets.jsonl.gz");
    let changesets = commit_history(&*store, &history).await?;
    caught_up(&*store, &running).await?;
    let first = tree(&read_model).await?;
    println!("{changesets} changesets became {} files", first.lines().count());
    running.handle().rebuild(FileTree::NAME, "to show that a rebuild changes nothing").await?;
    caught_up(&*store, &running).await?;
    let same = tree(&read_model).await? == first;
    println!("rebuilt from the start of the log: {}", if same { "the same files" } else { "other files" });
    running.shut_down().await;
    std::fs::remove_dir_all(data)?;
    if same { Ok(()) } else { Err("the rebuild led to other files".into()) }
}

#[derive(Deserialize)]
struct Line {
    stream_id: StreamId,
    events: Json,
    metadata: Json,
}

async fn commit_history(store: &dyn EventStore, file: &Path) -> Result<usize, Box<dyn Error>> {
    let lines = BufReader::new(flate2::read::GzDecoder::new(std::fs::File::open(file)?)).lines();
    let mut last = HashMap::<StreamId, u64>::new();
    let mut commits = Vec::new();
    for line in lines {
        let line = line?;
        let Line { stream_id, events, metadata } = serde_json::from_str(&line)?;
        let last = last.entry(stream_id.clone()).or_default();
        let expectation = Expectation::LastChangeset((*last).into());
        commits.push(
            Commit::new(stream_id, expectation, Events::parse(events.as_str())?).with_metadata(metadata)?,
        );
        *last += 1;
    }
    let count = commits.len();
    for verdict in store.commit_in_order(commits).await {
        verdict?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use ees_projector::testkit::given;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_deleted_file_is_gone_and_a_changed_one_is_new() {
        let added = |blob: &str| json!({"type": "file_added", "mode": "100644", "blob": blob});
        let changed = json!({"type": "file_changed", "mode": "100755", "blob": "c"});
        let history = given([
            ("src/lib.rs", added("a")),
            ("README.md", added("b")),
            ("src/lib.rs", changed),
            ("README.md", json!({"type": "file_deleted"})),
        ]);
        let file = File { mode: "100755".to_owned(), blob: "c".to_owned() };
        history.fold(FileTree).await.expect([("src/lib.rs", file)]);
        history.check_fold(|| FileTree).await;
    }
}
