//! The beginning of a real history, from eight clients to two servers on one table of DynamoDB, both of which index it,
//! with read models in SQLite and in DynamoDB, while processes are killed and frozen at random: each changeset is stored
//! once, gets one place in an order without gaps, and is applied once.
//!
//! `EES_KILL_MINUTES` and `EES_KILLS` make it last longer: in new tables, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use ees_store::client;
use ees_store::{LogEntry, LogQuery, StreamId, pages};
use ees_test_aws::{Account, LocalAws};
use ees_tests::history::{self, Line};
use ees_tests::kills::{Tally, rounds_under_fire};
use ees_tests::{Server, example, run};
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::under_fire::fire::{self, Aim};
use crate::under_fire::{Worker, clients};

/// The emulator takes longer for each item of a partition.
const CHANGESETS: usize = 400;
const LONG: &str = "120";

struct World {
    servers: Vec<Server>,
    workers: Vec<Worker>,
    folder: tempfile::TempDir,
}

impl fire::World for World {
    fn servers(&mut self) -> &mut Vec<Server> {
        &mut self.servers
    }
    fn workers(&mut self) -> &mut Vec<Worker> {
        &mut self.workers
    }
    fn cut_a_connection(&self) -> u64 {
        0
    }
}

impl World {
    fn new(account: &Account) -> Self {
        let environment = account.environment();
        let folder = tempfile::tempdir().unwrap();
        let serve = |name, read_models: &[&str]| {
            let arguments = [&["--store", "dynamodb://log"], read_models].concat();
            Server::start_in(folder.path().join(name), &arguments, &environment)
        };
        let servers = vec![serve("one", &[]), serve("other", &["--read-models", "dynamodb://read-models"])];
        let follow = |(number, server): (usize, &Server)| {
            let (url, rows) = (server.url(), folder.path().join(format!("file-tree-{number}.db")));
            Worker::start(move || {
                let mut worker = Command::new(example("file_history"));
                worker.args(["--url", &url, "--read-model"]).arg(&rows).arg("follow");
                worker
            })
        };
        let workers = servers.iter().enumerate().map(follow).collect();
        Self { servers, workers, folder }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_indexed_and_applied_once_while_everything_is_killed_and_frozen() {
    let runtime = tokio::runtime::Handle::current();
    let rounds = move || {
        rounds_under_fire("DynamoDB", |seed| runtime.block_on(round(fastrand::Rng::with_seed(seed))));
    };
    tokio::task::spawn_blocking(rounds).await.unwrap();
}

async fn round(mut chance: fastrand::Rng) -> Tally {
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    ees_store::dynamodb::create_table(&config, "log", false).await.unwrap();
    ees_projector::dynamodb::create_table(&Client::new(&config), "read-models").await.unwrap();
    let world = tokio::task::spawn_blocking(move || World::new(&account)).await.unwrap();
    let lines: Vec<Line> = history::lines().into_iter().take(CHANGESETS).collect();
    let urls: Vec<_> = world.servers.iter().map(Server::url).collect();
    let clients = clients::start(&lines, &urls, Duration::from_secs(3), &mut chance);
    let fire = fire::open(world, Aim::Everything, chance.fork());
    let (acknowledged, mut tally) = clients.acknowledged().await;
    let (world, hits) = fire.cease().await;
    assert!(hits.kills() > 0, "nothing was killed: the commits were too fast to prove anything");
    tally += hits;
    assert_eq!(acknowledged.len(), lines.len());
    let world =
        tokio::task::spawn_blocking(move || check_read_models(world, &history::lines()[..CHANGESETS]));
    let world = world.await.unwrap();
    for server in &world.servers {
        check_log(server, &lines).await;
    }
    tally
}

/// The log has all of the lines, each stream in its order, and no gap.
async fn check_log(server: &Server, lines: &[Line]) {
    let log = client::Client::new(&server.url()).unwrap();
    let changesets: Vec<LogEntry> =
        pages::log_changesets(&log, LogQuery::from(0.into(), 1_000)).try_collect().await.unwrap();
    let places: Vec<u64> = changesets.iter().map(|changeset| changeset.checkpoint.get()).collect();
    assert_eq!(places, (0..lines.len() as u64).collect::<Vec<_>>());
    let mut streams = BTreeMap::<&StreamId, Vec<&LogEntry>>::new();
    for changeset in &changesets {
        let stream = streams.entry(&changeset.stream_id).or_default();
        stream.push(changeset);
        assert_eq!(changeset.changeset_id.get(), stream.len() as u64, "{}", changeset.stream_id);
    }
    for line in lines {
        let changeset = streams[&line.stream_id][usize::try_from(line.expected_last_changeset).unwrap()];
        let found = (changeset.events.as_json().unwrap(), &changeset.metadata);
        assert_eq!(found, (&line.events, &line.metadata), "{}", line.stream_id);
    }
}

fn check_read_models(mut world: World, lines: &[Line]) -> World {
    world.workers.clear();
    let streams: BTreeSet<_> = lines.iter().map(|line| &line.stream_id).collect();
    for (number, server) in world.servers.iter().enumerate() {
        let all = CHANGESETS.to_string();
        for name in ["statistics", "stream_catalogue"] {
            let reached = ["projections", "status", name, "--min-checkpoint", &all, "--timeout", LONG];
            run(&mut server.ees(&reached)).ok();
        }
        let totals = server.get_json("/streams");
        let counted = [&totals["total_streams"], &totals["total_changesets"], &totals["statistics_version"]];
        assert_eq!(counted, [&json!(streams.len()), &json!(CHANGESETS), &json!(CHANGESETS)]);
        let rows = world.folder.path().join(format!("file-tree-{number}.db"));
        let mut tree = Command::new(example("file_history"));
        let tree = run(tree.args(["--url", &server.url(), "--read-model"]).arg(rows).arg("tree")).ok();
        assert!(tree == tree_of(lines), "the files are other files");
    }
    world
}

/// The files that exist after these lines, in the form that the worker prints.
fn tree_of(lines: &[Line]) -> String {
    let mut files = BTreeMap::<String, String>::new();
    for line in lines {
        let path = line.stream_id.to_string();
        let events: Vec<Value> = serde_json::from_str(line.events.as_str()).unwrap();
        for event in events {
            match (event["mode"].as_str(), event["blob"].as_str()) {
                (Some(mode), Some(blob)) => files.insert(path.clone(), format!("{path}\t{mode}\t{blob}\n")),
                _ => files.remove(&path),
            };
        }
    }
    files.into_values().collect()
}
