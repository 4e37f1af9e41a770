//! The projections of one process read each new part of the log once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use ees_projector::{Fold, Projector, Recorded, Running, Settings, memory};
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogHead, LogPage,
    LogQuery, Result, StreamId, postgres, sqlite,
};
use ees_test_postgres::TestDatabase;

use crate::support::{AccountEvent, LONG};

const COMMITS: u64 = 50;

struct Counted<S> {
    log: Arc<S>,
    reads: AtomicUsize,
}

#[async_trait]
impl<S: ChangesetLog> ChangesetLog for Counted<S> {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.reads.fetch_add(1, SeqCst);
        self.log.read(query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.log.head().await
    }
}

struct Deposits(String);

impl Fold for Deposits {
    type Event = AccountEvent;
    type Key = String;
    type State = u64;

    fn name(&self) -> &str {
        &self.0
    }
    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<u64>, _: Recorded<'_, AccountEvent>) -> Option<u64> {
        Some(row.unwrap_or_default() + 1)
    }
}

/// Reads of the log for each commit: of so many projections in one projector, or each in one of its own. Every
/// other commit is one that the projections' filter leaves out.
async fn reads_per_commit<S: EventStore + ChangesetLog>(
    store: Arc<S>,
    projections: usize,
    are_together: bool,
) -> f64 {
    let log = Arc::new(Counted { log: store.clone(), reads: AtomicUsize::new(0) });
    let names: Vec<_> = (0..projections).map(|number| format!("p{number}")).collect();
    let groups = names.chunks(if are_together { projections } else { 1 });
    let running: Vec<Running> = groups
        .map(|names| {
            let mut projector = Projector::new(log.clone());
            for name in names {
                let fold = Deposits(name.clone());
                projector.fold(fold, memory::Database::new(), Settings::default()).unwrap();
            }
            projector.start()
        })
        .collect();
    let stream: StreamId = format!("{projections} {are_together}").parse().unwrap();
    for last in 0..=COMMITS {
        let event = if last % 2 == 0 { r#"{"type":"deposited","amount":1}"# } else { r#"{"type":"noise"}"# };
        let events = Events::parse(&format!("[{event}]")).unwrap();
        let commit = Commit::new(stream.clone(), Expectation::LastChangeset(last.into()), events);
        let checkpoint = store.commit(commit).await.unwrap().checkpoint.unwrap();
        for running in &running {
            for name in running.handle().names() {
                running.handle().when_reached(name, checkpoint, LONG).await.unwrap();
            }
        }
        if last == 0 {
            log.reads.store(0, SeqCst);
        }
    }
    let reads = log.reads.load(SeqCst);
    for running in running {
        running.shut_down().await;
    }
    reads as f64 / COMMITS as f64
}

async fn check<S: EventStore + ChangesetLog>(name: &str, store: Arc<S>) {
    for projections in [1, 5, 20] {
        let apart = reads_per_commit(store.clone(), projections, false).await;
        let together = reads_per_commit(store.clone(), projections, true).await;
        println!(
            "{name}, {projections} projections: {together:.2} reads a commit; each for itself: {apart:.2}"
        );
        // One, and another one where a commit came while all of them were busy.
        assert!(together <= 2.5, "{projections} projections: {together} reads a commit");
        assert!(apart >= projections as f64 * 0.9, "{projections} projections: {apart} reads a commit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_projections_read_what_arrives_once() {
    let folder = tempfile::tempdir().unwrap();
    check("SQLite", Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap())).await;
    let database = TestDatabase::new().await;
    check("PostgreSQL", Arc::new(postgres::Store::connect(database.url()).await.unwrap())).await;
}
