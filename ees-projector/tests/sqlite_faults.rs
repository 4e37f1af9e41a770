//! What a SQLite read model does when the disk is full, when a projection oversteps, when two processes run
//! it, and when others have added to its tables.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ees_projector::sqlite::{Database, Tx};
use ees_projector::{
    BoxError, Drained, Fold, InPlace, OnDemand, OnFailure, OperateError, Order, Parking, Projection,
    Projector, Recorded, Retry, Running, Settings, State, Status,
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
    status_of(running, "writer", wanted).await
}

async fn status_of(running: &Running, name: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let status = running.handle().status(name).await.unwrap();
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
        let set_aside = || {
            let all = std::fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
            all.filter(|path| path.to_str().unwrap().contains(".db.damaged-")).collect::<BTreeSet<_>>()
        };
        let aside = set_aside();
        assert!(aside.iter().any(|path| std::fs::read(path).unwrap() == damaged), "{name}: {aside:?}");
        let mut projector = Projector::new(store.clone());
        projector.projection(writer.clone(), database.clone(), Settings::default()).unwrap();
        let again = projector.start();
        status_when(&again, |status| status.checkpoint.get() == 1).await;
        assert_eq!(rows(&database).await, 1, "{name}");
        again.shut_down().await;
        drop(database);
        Database::open_or_set_aside(&file).unwrap();
        assert_eq!(set_aside(), aside, "{name}: what is sound stays where it is");
    }
}

/// Tells the program [`owner`] which file it runs its projection on.
const FILE: &str = "EES_TEST_READ_MODEL";

/// A program with the projection `writer`. It runs until its standard input is closed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program that the other tests start"]
async fn owner() {
    let Ok(file) = std::env::var(FILE) else { return };
    let running = start(Path::new(&file), "writer");
    status_when(&running, |status| status.state == State::Following).await;
    println!("\nstarted");
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    closed.await.unwrap().unwrap();
    running.shut_down().await;
}

/// Counts nothing: only who runs it matters.
struct Idle(&'static str);

impl Projection<Tx> for Idle {
    type Event = Value;
    fn name(&self) -> &str {
        self.0
    }
    async fn create_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, Value>, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
}

fn start(file: &Path, name: &'static str) -> Running {
    let mut projector = Projector::new(Arc::new(memory::Store::new()));
    let soon = Duration::from_millis(50);
    let settings =
        Settings { retry: Retry { times: 2, delay_min: soon, delay_max: soon }, ..Settings::default() };
    projector.projection(Idle(name), Database::open(file).unwrap(), settings).unwrap();
    projector.start()
}

struct Process(Child);

impl Process {
    fn start(file: &Path) -> Self {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["owner", "--exact", "--ignored", "--nocapture", "--test-threads=1"]).env(FILE, file);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "started")), "it does not start");
        Self(child)
    }

    /// Lets it end by itself.
    fn stop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_a_projection_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read-model.db");
    let owner = Process::start(&file);
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (second, other) = (start(&link, "writer"), start(&file, "another"));

    status_of(&other, "another", |status| status.state == State::Following).await;
    let refused = status_when(&second, |status| status.state == State::Stopped).await;
    let told = refused.last_error.unwrap().message;
    let file = file.canonicalize().unwrap();
    for part in
        [&*format!("process {} runs \"writer\" on {}", owner.0.id(), file.display()), "end that process"]
    {
        assert!(told.contains(part), "{told}");
    }
    let operation = second.handle().rebuild("writer", "").await.unwrap_err().to_string();
    assert_eq!(operation, told);
    let (log, database) = (Arc::new(memory::Store::new()), Database::open(&file).unwrap());
    let on_demand = OnDemand::projection(Idle("writer"), database, log, Settings::default()).unwrap();
    let drained = on_demand.drain_until(Instant::now() + Duration::from_secs(20)).await;
    assert_eq!(drained, Drained::Elsewhere);
    assert_eq!(on_demand.checkpoint().await.unwrap().get(), 0, "where the other process has brought it");
    // Killed.
    drop(owner);
    status_when(&second, |status| status.state == State::Following).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_waits_for_the_one_that_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read-model.db");
    let mut old = Process::start(&file);
    let new = start(&file, "writer");
    let rebuild = new.handle().rebuild("writer", "waits too");
    let (rebuilt, ()) = tokio::join!(rebuild, async {
        assert_eq!(new.handle().status("writer").await.unwrap().state, State::Starting);
        tokio::task::spawn_blocking(move || old.stop()).await.unwrap();
    });
    rebuilt.unwrap();
    let status = status_when(&new, |status| status.state == State::Following).await;
    assert_eq!(status.last_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn projectors_of_one_process_share_a_file_however_they_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read-model.db");
    let database = Database::open(&file).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let store = Arc::new(memory::Store::new());
    let start = |database| {
        let mut projector = Projector::new(store.clone());
        projector.projection(Idle("writer"), database, Settings::default()).unwrap();
        projector.start()
    };
    let [cloned, opened, linked] =
        [database.clone(), Database::open(&file).unwrap(), Database::open(&link).unwrap()];
    let all = [database, cloned, opened, linked].map(start);
    for running in &all {
        status_when(running, |status| status.state == State::Following).await;
    }
}

/// Counts the events of each stream.
struct Tally {
    version: u32,
}

impl Fold for Tally {
    type Event = Value;
    type Key = String;
    type State = i64;
    fn name(&self) -> &str {
        "tally"
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<i64>, _: Recorded<'_, Value>) -> Option<i64> {
        Some(row.unwrap_or(0) + 1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_makes_again_what_others_added_to_the_tables_or_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read-model.db");
    let store = Arc::new(memory::Store::new());
    for stream in ["a", "b"] {
        commit(&store, stream).await;
    }
    let start = async |version| {
        let mut projector = Projector::new(store.clone());
        projector.fold(Tally { version }, Database::open(&file).unwrap(), Settings::default()).unwrap();
        let running = projector.start();
        caught_up(&running, &store).await;
        running
    };
    let others = rusqlite::Connection::open(&file).unwrap();
    others.busy_timeout(Duration::from_secs(10)).unwrap();
    let number = |sql: &str| others.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let is_there = |name: &str| number(&format!("SELECT count(*) FROM sqlite_schema WHERE name = '{name}'"));
    let column =
        "ALTER TABLE tally ADD COLUMN hint TEXT DEFAULT 'h'; CREATE INDEX by_hint ON tally (\"hint\");";

    let running = start(1).await;
    let trigger =
        "CREATE TRIGGER noticed AFTER INSERT ON tally BEGIN INSERT INTO noted VALUES (new.key); END;";
    let index = "CREATE TABLE noted (key TEXT); CREATE INDEX by_state ON tally (state);";
    others.execute_batch(&format!("{index} {trigger}")).unwrap();
    running.handle().rebuild("tally", "").await.unwrap();
    caught_up(&running, &store).await;
    assert_eq!((is_there("by_state"), is_there("noticed"), number("SELECT count(*) FROM noted")), (1, 1, 2));
    let audit = running.handle().audit("tally", 1).await.unwrap().remove(0);
    assert!(
        audit.detail.ends_with("; made again before the replay: trigger noticed of tally"),
        "{}",
        audit.detail
    );

    others.execute_batch(column).unwrap();
    let refused = running.handle().rebuild("tally", "").await.unwrap_err();
    let OperateError::WouldDrop { objects } = &refused else { panic!("{refused}") };
    assert_eq!(objects, "column tally.hint, index by_hint, trigger noticed of tally");
    assert_eq!(number("SELECT count(*) FROM tally WHERE hint = 'h'"), 2, "nothing has changed");
    let forced = InPlace { force: true, ..InPlace::default() };
    running.handle().rebuild_in_place("tally", forced, "").await.unwrap();
    caught_up(&running, &store).await;
    assert_eq!((is_there("by_state"), is_there("by_hint"), is_there("noticed")), (1, 0, 0));
    let audit = running.handle().audit("tally", 1).await.unwrap().remove(0);
    assert!(audit.detail.ends_with(&format!("; dropped: {objects}")), "{}", audit.detail);
    running.shut_down().await;

    // Nobody is asked when the version rises.
    others.execute_batch(column).unwrap();
    let running = start(2).await;
    assert_eq!(
        (is_there("by_state"), is_there("by_hint"), number("SELECT sum(state) FROM tally")),
        (1, 0, 2)
    );
    let audit = running.handle().audit("tally", 1).await.unwrap().remove(0);
    assert_eq!(audit.action, "new_version");
    assert!(audit.detail.ends_with("; dropped: column tally.hint, index by_hint"), "{}", audit.detail);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_names_its_table_in_another_case_is_made_again_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("read-model.db");
    let store = Arc::new(memory::Store::new());
    commit(&store, "a").await;
    let mut projector = Projector::new(store.clone());
    projector.fold(Tally { version: 1 }, Database::open(&file).unwrap(), Settings::default()).unwrap();
    let running = projector.start();
    caught_up(&running, &store).await;
    let others = rusqlite::Connection::open(&file).unwrap();
    others.busy_timeout(Duration::from_secs(10)).unwrap();
    others
        .execute_batch(
            "CREATE TRIGGER closed BEFORE DELETE ON TALLY BEGIN SELECT RAISE(IGNORE); END;
             CREATE INDEX by_state ON TALLY (STATE);",
        )
        .unwrap();
    let there = "SELECT count(*) FROM sqlite_schema WHERE name IN ('closed', 'by_state')";
    running.handle().rebuild("tally", "").await.unwrap();
    caught_up(&running, &store).await;
    assert_eq!(others.query_row(there, [], |row| row.get::<_, i64>(0)).unwrap(), 2);

    others.execute_batch("ALTER TABLE Tally ADD COLUMN hint TEXT").unwrap();
    let refused = running.handle().rebuild("tally", "").await.unwrap_err();
    let OperateError::WouldDrop { objects } = &refused else { panic!("{refused}") };
    assert_eq!(objects, "column tally.hint, trigger closed of tally");
    running.shut_down().await;
}

/// Makes a table for each stream when it sees the stream.
struct Tables;

impl Projection<Tx> for Tables {
    type Event = Value;
    fn name(&self) -> &str {
        "tally"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch("CREATE TABLE streams (name TEXT)")?)
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let names: Vec<String> = tx
            .connection()
            .prepare("SELECT name FROM streams")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for name in names {
            tx.connection().execute_batch(&format!("DROP TABLE {name}"))?;
        }
        Ok(tx.connection().execute_batch("DROP TABLE streams")?)
    }
    async fn apply(&self, event: Recorded<'_, Value>, tx: &mut Tx) -> Result<(), BoxError> {
        let name = event.stream_id();
        let table = "CREATE TABLE {} (text TEXT); CREATE INDEX by_text_{} ON {} (text); INSERT INTO streams VALUES ('{}')";
        Ok(tx.connection().execute_batch(&table.replace("{}", name.as_str()))?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_projection_makes_while_it_applies_do_not_prevent_its_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let (store, database) =
        (Arc::new(memory::Store::new()), Database::open(folder.path().join("r.db")).unwrap());
    for stream in ["a", "b"] {
        commit(&store, stream).await;
    }
    let mut projector = Projector::new(store.clone());
    projector.projection(Tables, database.clone(), Settings::default()).unwrap();
    let running = projector.start();
    caught_up(&running, &store).await;
    running.handle().rebuild("tally", "").await.unwrap();
    caught_up(&running, &store).await;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('a', 'b', 'by_text_a', 'by_text_b')";
    assert_eq!(
        database.read(move |db| db.query_row(tables, [], |row| row.get::<_, i64>(0))).await.unwrap(),
        4
    );
    running.shut_down().await;
}

async fn caught_up(running: &Running, store: &memory::Store) {
    let head = store.head().await.unwrap().checkpoint;
    running.handle().when_reached("tally", head, Duration::from_secs(20)).await.unwrap();
}
