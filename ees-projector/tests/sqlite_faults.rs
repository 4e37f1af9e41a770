//! What a SQLite read model does when the disk is full, or a projection oversteps.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::sqlite::{Database, Tx};
use ees_projector::{
    BoxError, OnFailure, Order, Parking, Projection, Projector, Recorded, Retry, Running, Settings, State,
    Status,
};
use ees_store::{ChangesetLog, Commit, Error, EventStore, Events, Expectation, memory, sqlite};
use serde_json::Value;

#[derive(Clone, Default)]
struct Writer {
    disk_full: Arc<AtomicBool>,
    commits_itself: Arc<AtomicBool>,
}

impl Projection<Tx> for Writer {
    type Event = Value;
    fn name(&self) -> &str {
        "writer"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch("CREATE TABLE written (text TEXT)")?)
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch("DROP TABLE IF EXISTS written")?)
    }
    async fn apply(&self, event: Recorded<'_, Value>, tx: &mut Tx) -> Result<(), BoxError> {
        // SQLite's own limit on the file stands for a disk that is full: the same error, from the same place.
        let pages = if self.disk_full.load(SeqCst) { 1 } else { 1_000_000 };
        tx.connection().pragma_update(None, "max_page_count", pages)?;
        let text = event.event.to_string().repeat(10_000);
        tx.connection().execute("INSERT INTO written (text) VALUES (?1)", [text])?;
        if self.commits_itself.load(SeqCst) {
            tx.connection().execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

async fn running(writer: &Writer, delay_min: Duration) -> (Running, Database, Arc<memory::Store>) {
    let store = Arc::new(memory::Store::new());
    let (running, database) = running_on(store.clone(), writer, delay_min).await;
    (running, database, store)
}

async fn running_on(log: Arc<dyn ChangesetLog>, writer: &Writer, delay_min: Duration) -> (Running, Database) {
    let folder = tempfile::tempdir().unwrap().keep();
    let database = Database::open(folder.join("read-model.db")).unwrap();
    let mut projector = Projector::new(log);
    let retry = Retry { times: 2, delay_min, delay_max: delay_min };
    let settings = Settings { retry, on_failure: OnFailure::Park(Parking::default()), ..Settings::default() };
    projector.projection(writer.clone(), database.clone(), settings).unwrap();
    let running = projector.start();
    status_when(&running, |status| status.state == State::Following).await;
    (running, database)
}

async fn commit(store: &Arc<impl EventStore>, stream: &str) {
    let events = Events::parse(r#"[{"text":"something"}]"#).unwrap();
    store.commit(Commit::new(stream.parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
}

async fn status_when(running: &Running, wanted: impl Fn(&Status) -> bool) -> Status {
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let status = running.handle().status("writer").await.unwrap();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    found.await.expect("the status never came to what was wanted")
}

async fn rows(database: &Database) -> i64 {
    database.read(|db| db.query_row("SELECT count(*) FROM written", [], |row| row.get(0))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_starts_and_follows_while_the_log_takes_no_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let options = sqlite::Options { patience: Duration::from_millis(50), ..sqlite::Options::default() };
    let store = Arc::new(sqlite::Store::open_with(&path, options).unwrap());
    commit(&store, "a").await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = Commit::new("b".parse().unwrap(), Expectation::NewStream, Events::parse("[1]").unwrap());
    assert!(matches!(store.commit(refused).await, Err(Error::Unavailable(_))));

    let (running, database) = running_on(store.clone(), &Writer::default(), Duration::from_millis(1)).await;
    assert_eq!(rows(&database).await, 1);
    assert!(store.check_writable().await.is_err(), "it was locked all the time");
    other.execute_batch("ROLLBACK").unwrap();
    commit(&store, "b").await;
    status_when(&running, |status| status.checkpoint.get() == 2).await;
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_for_and_never_parks() {
    let writer = Writer::default();
    let (running, database, store) = running(&writer, Duration::from_millis(1)).await;
    writer.disk_full.store(true, SeqCst);
    commit(&store, "a").await;
    // Many more attempts than a failing changeset would get.
    let tried = |status: &Status| status.last_error.as_ref().is_some_and(|error| error.attempts > 10);
    let status = status_when(&running, tried).await;
    assert_eq!((status.state, status.parked_streams, status.checkpoint.get()), (State::Retrying, 0, 0));
    assert!(status.last_error.unwrap().message.contains("full"));
    writer.disk_full.store(false, SeqCst);
    status_when(&running, |status| status.state == State::Following && status.checkpoint.get() == 1).await;
    assert_eq!(rows(&database).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_ends_the_transaction_is_told_so() {
    let writer = Writer::default();
    // Long enough that the error is still there when the test looks.
    let (running, _database, store) = running(&writer, Duration::from_secs(10)).await;
    writer.commits_itself.store(true, SeqCst);
    commit(&store, "a").await;
    let status = status_when(&running, |status| status.last_error.is_some()).await;
    assert!(status.last_error.unwrap().message.contains("must not COMMIT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_set_aside_and_its_projection_rebuilt() {
    fn garbage(_: Vec<u8>) -> Vec<u8> {
        b"this is no database, although it is as long as one might be".repeat(100)
    }
    fn truncated(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.truncate(bytes.len() / 2);
        bytes
    }
    fn overwritten(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[100..].fill(0xA5);
        bytes
    }
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 3] =
        [("garbage", garbage), ("truncated", truncated), ("overwritten", overwritten)];
    let writer = Writer::default();
    for (name, damage) in damages {
        let (running, database, store) = running(&writer, Duration::from_millis(1)).await;
        commit(&store, "a").await;
        status_when(&running, |status| status.checkpoint.get() == 1).await;
        let file = database.read(|db| Ok(db.path().map(std::path::PathBuf::from))).await.unwrap().unwrap();
        running.shut_down().await;
        drop(database);
        std::fs::write(&file, damage(std::fs::read(&file).unwrap())).unwrap();
        let damaged = std::fs::read(&file).unwrap();

        let refused = Database::open(&file).err().unwrap().to_string();
        assert!(refused.contains("damaged") && refused.contains("delete it to rebuild"), "{name}: {refused}");
        let database = Database::open_or_set_aside(&file).unwrap();
        let aside = std::fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let aside = aside.filter(|path| path.to_str().unwrap().contains(".db.damaged-")).collect::<Vec<_>>();
        assert!(aside.iter().any(|path| std::fs::read(path).unwrap() == damaged), "{name}: {aside:?}");
        let mut projector = Projector::new(store.clone());
        projector.projection(writer.clone(), database.clone(), Settings::default()).unwrap();
        let again = projector.start();
        status_when(&again, |status| status.checkpoint.get() == 1).await;
        assert_eq!(rows(&database).await, 1, "{name}");
        again.shut_down().await;
        drop(database);
        Database::open_or_set_aside(&file).unwrap();
        let set_aside = std::fs::read_dir(file.parent().unwrap()).unwrap().count();
        assert!(set_aside <= aside.len() + 3, "{name}: what is sound stays where it is");
    }
}
