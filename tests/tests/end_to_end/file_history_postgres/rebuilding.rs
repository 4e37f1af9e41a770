//! A new version side by side with the old one, and a rollback, while readers read and workers are killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ees_projector::postgres::Database;
use ees_projector::{OperateError, StandbyRole};
use ees_tests::history::expected_tree;
use ees_tests::kills::Tally;
use ees_tests::read_models::FileTree;
use tokio::task::JoinSet;

use super::checks::{LONG, operator};
use super::world::{World, worker};
use crate::under_fire::fire::{self, Aim};

const READERS: usize = 3;

/// How often readers saw which version.
#[derive(Debug, Default)]
struct Seen {
    old: u32,
    new: u32,
}

/// Checks that no reader gets an error, or rows of two versions. Returns the kills.
pub async fn a_new_version_and_back(mut world: World, mut chance: fastrand::Rng) -> Tally {
    let url = world.database.url().to_owned();
    let database = Database::connect(&url).await.unwrap();
    let operator = operator(&database, &url).await;
    let stop = Arc::new(AtomicBool::new(false));
    let readers: JoinSet<Seen> = (0..READERS).map(|_| poll(url.clone(), stop.clone())).collect();

    world.workers.extend([&url, &world.servers[0].url()].map(|log| worker(log, &url, 2)));
    let fire = fire::open(world, Aim::Workers, chance.fork());
    until(async || FileTree::read(&database).await.unwrap() == new_tree()).await;
    until(async || {
        let status = operator.handle().status(FileTree::NAME).await.unwrap();
        status.standby.is_some_and(|standby| standby.plan.role == StandbyRole::Following)
    })
    .await;
    until(async || {
        match operator.handle().rollback(FileTree::NAME, false, "to see the old one again").await {
            Ok(()) => true,
            // A frozen worker locks its row for some seconds.
            Err(OperateError::Unavailable(_) | OperateError::Overtaken) => false,
            Err(refused) => panic!("{refused}"),
        }
    })
    .await;
    let back = FileTree::read(&database).await.unwrap();
    assert!(back == expected_tree(), "what was rolled back to is not what there was");
    let (world, hits) = fire.cease().await;
    stop.store(true, SeqCst);
    let seen = readers.join_all().await;
    println!("while rebuilding: {hits}; {seen:?}");
    assert!(seen.iter().any(|seen| seen.old > 0) && seen.iter().any(|seen| seen.new > 0), "{seen:?}");
    operator.shut_down().await;
    drop(world);
    hits
}

fn new_tree() -> String {
    let lines = expected_tree();
    let lines = lines.lines().map(|line| {
        let (rest, blob) = line.rsplit_once('\t').unwrap();
        format!("{rest}\t{}\n", blob.to_uppercase())
    });
    lines.collect()
}

/// Reads all rows again and again, as a client that knows nothing of versions.
async fn poll(url: String, stop: Arc<AtomicBool>) -> Seen {
    let database = Database::connect(&url).await.unwrap();
    let (old, new) = (expected_tree(), new_tree());
    let mut seen = Seen::default();
    while !stop.load(SeqCst) {
        let tree = FileTree::read(&database).await.unwrap();
        match &tree {
            tree if *tree == old => seen.old += 1,
            tree if *tree == new => seen.new += 1,
            _ => panic!("rows that are neither version's:\n{tree}"),
        }
    }
    seen
}

async fn until(mut wanted: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !wanted().await {
        assert!(Instant::now() < deadline, "it never comes to that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
