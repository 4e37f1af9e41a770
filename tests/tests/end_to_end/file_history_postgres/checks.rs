//! The checks at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ees_projector::postgres::Database;
use ees_projector::{Projector, Running};
use ees_store::client::Client;
use ees_store::{ChangesetLog, LogEntry, LogQuery, StreamId, pages, postgres};
use ees_tests::history::{self, expected_totals, expected_tree};
use ees_tests::read_models::{Applications, FileTree, register};
use futures::TryStreamExt;

use super::world::World;
use crate::under_fire::clients::Acknowledged;

/// A timeout that is far longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(120);

/// Checks the log: it has all acknowledged changesets at their acknowledged checkpoints and nothing else,
/// without gaps, and every reader sees the same order.
pub async fn log(world: &World, acknowledged: &Acknowledged) {
    let log = postgres::Store::connect(world.database.url()).await.unwrap();
    let changesets = whole(&log).await;
    let places: Vec<u64> = changesets.iter().map(|changeset| changeset.checkpoint.get()).collect();
    let lines = history::lines();
    assert_eq!(places, (0..lines.len() as u64).collect::<Vec<_>>());
    let found: Acknowledged = changesets
        .iter()
        .map(|changeset| ((changeset.stream_id.clone(), changeset.changeset_id), Some(changeset.checkpoint)))
        .collect();
    assert!(found == *acknowledged, "what is in the log is not what was acknowledged");

    let mut streams = BTreeMap::<&StreamId, Vec<&LogEntry>>::new();
    for changeset in &changesets {
        streams.entry(&changeset.stream_id).or_default().push(changeset);
    }
    for line in &lines {
        let stream = &streams[&line.stream_id];
        let changeset = stream[usize::try_from(line.expected_last_changeset).unwrap()];
        assert_eq!(changeset.changeset_id.get(), line.expected_last_changeset + 1);
        assert_eq!(
            (changeset.events.as_json().unwrap(), &changeset.metadata),
            (&line.events, &line.metadata)
        );
    }
    for url in world.urls() {
        assert!(whole(&Client::new(&url).unwrap()).await == changesets, "{url} gives another order");
    }
}

async fn whole(log: &dyn ChangesetLog) -> Vec<LogEntry> {
    pages::log_changesets(log, LogQuery::from(0.into(), 1_000)).try_collect().await.unwrap()
}

/// Checks the read models: the files and totals are those of the repository, each changeset was applied once
/// and in order, and rebuilds give the same.
pub async fn read_models(world: &World) {
    let database = Database::connect(world.database.url()).await.unwrap();
    let operator = operator(&database, world.database.url()).await;
    let head = 8_299;
    for name in [FileTree::NAME, Applications::NAME] {
        operator.handle().when_reached(name, head.into(), LONG).await.unwrap();
    }
    assert_eq!(Applications::read(&database).await.unwrap(), (8_299, vec![]));
    assert!(FileTree::read(&database).await.unwrap() == expected_tree(), "the files are other files");
    for name in [FileTree::NAME, Applications::NAME] {
        let comparison = operator.handle().verify(name).await.unwrap();
        assert!(comparison.is_equal() && comparison.checkpoint == head, "{name}: {comparison:?}");
    }
    operator.shut_down().await;

    for server in 0..world.servers.len() {
        for name in ["statistics", "stream_catalogue"] {
            let reached = ["projections", "status", name, "--min-checkpoint", "8299", "--timeout", "60"];
            world.ees(server, &reached).ok();
            world.ees(server, &["projections", "verify", name]).ok();
        }
        assert_eq!(world.servers[server].get_json("/streams"), expected_totals());
    }
}

/// Starts another worker, through which the test operates the read models.
pub async fn operator(database: &Database, log: &str) -> Running {
    let mut projector = Projector::new(Arc::new(postgres::Store::connect(log).await.unwrap()));
    register(&mut projector, database, 1).unwrap();
    projector.start()
}
