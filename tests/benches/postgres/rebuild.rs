//! Rebuilds that are dealt out to workers: how the work divides, and where the ceiling is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ees_projector::postgres::Database;
use ees_projector::{Handle, InPlace, Projector, Settings};
use ees_store::postgres::Store;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, EventStore, LogHead, LogPage, LogQuery, Result, SegmentPage,
    SegmentQuery, StreamId, memory,
};

use crate::catch_up::{DEPOSIT, OwnSql};
use crate::server::{Databases, settle};
use crate::shared::append::fill;
use crate::shared::read::Balances;
use crate::shared::report::Report;
use crate::shared::workload::Workload;

/// Statistics of tables are written at the end of a transaction, but at most once a second.
const COUNTED_AFTER: Duration = Duration::from_millis(1_500);
/// Waits as a query of a large table would.
const SLOW_DEPOSIT: &str = "INSERT INTO accounts AS a (id, amount) SELECT $1, $2 FROM pg_sleep(0.001)
    ON CONFLICT (id) DO UPDATE SET amount = a.amount + excluded.amount";

/// How often each number of workers rebuilds.
#[derive(Clone, Copy)]
struct Trials {
    workers: &'static [u32],
    rounds: usize,
}

pub(crate) async fn measure(short: bool, workload: &Workload, databases: &Databases, report: &mut Report) {
    let trials = match short {
        true => Trials { workers: &[2], rounds: 1 },
        false => Trials { workers: &[1, 2, 4], rounds: 3 },
    };
    let start = |projector: &mut Projector, database| {
        projector.fold(Balances { columns: false }, database, Settings::default()).map(drop).unwrap();
    };
    let rebuilds = Rebuilds::new("balances", "fold", workload, databases).await;
    rebuilds.measure(trials, workload, report, false, start).await;
    let rebuilds = Rebuilds::from_memory("balances", "fold, log in memory", workload, databases).await;
    rebuilds.measure(trials, workload, report, false, start).await;
    rebuilds.measure(trials, workload, report, true, start).await;

    for (what, statement, appends) in
        [("a statement an event", DEPOSIT, 5_000), ("a statement of 1 ms an event", SLOW_DEPOSIT, 1_000)]
    {
        let workload = Workload { appends: workload.appends.min(appends), ..*workload };
        let rebuilds = Rebuilds::new("own_sql", what, &workload, databases).await;
        let start = |projector: &mut Projector, database| {
            let projection = OwnSql { queued: false, statement };
            projector.projection(projection, database, Settings::default()).map(drop).unwrap();
        };
        rebuilds.measure(trials, &workload, report, false, start).await;
    }
}

/// A projection that is rebuilt again and again, by more and more workers.
struct Rebuilds {
    name: &'static str,
    what: &'static str,
    log: Arc<Counted>,
    database: Database,
}

impl Rebuilds {
    async fn new(name: &'static str, what: &'static str, workload: &Workload, databases: &Databases) -> Self {
        let url = databases.fresh().await;
        let store = Store::connect(&url).await.unwrap();
        fill(&store, workload).await;
        settle(&url).await;
        Self::of(name, what, Arc::new(store), databases).await
    }

    /// With a log that has segments.
    async fn from_memory(
        name: &'static str,
        what: &'static str,
        workload: &Workload,
        databases: &Databases,
    ) -> Self {
        let store = Arc::new(memory::Store::new());
        fill(&*store as &dyn EventStore, workload).await;
        Self::of(name, what, store, databases).await
    }

    async fn of(
        name: &'static str,
        what: &'static str,
        log: Arc<dyn ChangesetLog>,
        databases: &Databases,
    ) -> Self {
        let log = Arc::new(Counted { log, reads: AtomicU64::new(0), changesets: AtomicU64::new(0) });
        let database = Database::connect(&databases.fresh().await).await.unwrap();
        Self { name, what, log, database }
    }

    async fn measure(
        &self,
        trials: Trials,
        workload: &Workload,
        report: &mut Report,
        by_segments: bool,
        register: impl Fn(&mut Projector, Database),
    ) {
        for &workers in trials.workers {
            let mut rounds = Vec::new();
            for _ in 0..trials.rounds {
                // Anew: a worker that has rebuilt before knows how much to read at once.
                let mut projector = Projector::new(self.log.clone());
                register(&mut projector, self.database.clone());
                let running = projector.start();
                let head = workload.appends.into();
                running.handle().when_reached(self.name, head, Duration::from_secs(600)).await.unwrap();
                rounds.push(self.rebuild(running.handle(), workers, by_segments).await);
                running.shut_down().await;
            }
            rounds.sort_by_key(|round| round.took);
            let Round { took, reads, changesets, written } = rounds[trials.rounds / 2];
            let how = if by_segments { ", by segments" } else { "" };
            let what = format!("rebuild, {}{how}, {workers} workers", self.what);
            report.rate(&what, workload.events(), took, None, None);
            println!(
                "    {:.1} s; {reads} reads of the log with {changesets} changesets; {written} rows written",
                took.as_secs_f64()
            );
        }
    }

    async fn rebuild(&self, handle: &Handle, workers: u32, by_segments: bool) -> Round {
        tokio::time::sleep(COUNTED_AFTER).await;
        let before = self.rows_written().await;
        self.log.reads.store(0, Relaxed);
        self.log.changesets.store(0, Relaxed);
        let begun = Instant::now();
        let wanted = InPlace { workers: Some(workers), by_segments, ..InPlace::default() };
        handle.rebuild_in_place(self.name, wanted, "").await.unwrap();
        let is_done = async || {
            let status = handle.status(self.name).await.unwrap();
            status.rebuild.is_none() && status.partitions.is_empty()
        };
        while !is_done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = begun.elapsed();
        let (reads, changesets) = (self.log.reads.load(Relaxed), self.log.changesets.load(Relaxed));
        tokio::time::sleep(COUNTED_AFTER).await;
        Round { took, reads, changesets, written: self.rows_written().await - before }
    }

    /// How many rows were inserted and updated in the read models' database, also those of the framework.
    async fn rows_written(&self) -> i64 {
        let sql =
            "SELECT (tup_inserted + tup_updated) FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(sql).fetch_one(self.database.pool()).await.unwrap()
    }
}

#[derive(Clone, Copy)]
struct Round {
    took: Duration,
    reads: u64,
    changesets: u64,
    written: i64,
}

/// The log, and how much is read of it.
struct Counted {
    log: Arc<dyn ChangesetLog>,
    reads: AtomicU64,
    changesets: AtomicU64,
}

impl Counted {
    fn count(&self, changesets: usize) {
        self.reads.fetch_add(1, Relaxed);
        self.changesets.fetch_add(changesets as u64, Relaxed);
    }
}

#[async_trait]
impl ChangesetLog for Counted {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        // The status looks at one changeset, for its age.
        let is_counted = query.limit > 1;
        let page = self.log.read(query).await?;
        if is_counted {
            self.count(page.changesets.len());
        }
        Ok(page)
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> Result<LogHead> {
        self.log.head().await
    }
    fn has_segments(&self) -> bool {
        self.log.has_segments()
    }
    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        let page = self.log.read_segment(query).await?;
        self.count(page.changesets.len());
        Ok(page)
    }
}
