//! Read models in SQLite files that are built side by side, swapped and compared, by a projection with SQL of its
//! own, while others read the file and have added to it, and through kills.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::database::{Database as _, Transaction as _};
use ees_projector::sqlite::rusqlite::Connection;
use ees_projector::sqlite::{Database, Tx, checkpoint};
use ees_projector::{
    BoxError, Comparison, NewVersion, OperateError, Projection, Projector, ReadModelId, Recorded, Running,
    Settings, SideBySide, Slot, StandbyRole, State, Status,
};
use ees_store::{Commit, EventStore, Events, Expectation, memory, sqlite};

/// Keeps orders and their items, with everything that SQLite offers for it.
#[derive(Clone, Copy)]
struct Orders {
    version: u32,
    /// What an event adds.
    amount: i64,
    tables: &'static str,
}

const TABLES: &str = "
    CREATE TABLE orders (id TEXT PRIMARY KEY COLLATE NOCASE, amount NOT NULL, double AS (amount * 2) STORED);
    CREATE INDEX orders_by_amount ON orders (amount);
    CREATE TABLE items (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        order_id TEXT NOT NULL REFERENCES orders ON DELETE CASCADE,
        text TEXT
    ) STRICT;
    CREATE UNIQUE INDEX items_of_order ON items (order_id, number);
    CREATE TABLE totals (amount INTEGER);
    INSERT INTO totals VALUES (0);
    CREATE TRIGGER totalled AFTER INSERT ON items BEGIN UPDATE totals SET amount = amount + 1; END;
    CREATE VIEW large AS SELECT id FROM orders WHERE amount > 1;";

impl Orders {
    const ONE: Self = Self { version: 1, amount: 1, tables: TABLES };
}

impl Projection<Tx> for Orders {
    type Event = serde::de::IgnoredAny;

    fn name(&self) -> &str {
        "orders"
    }
    fn version(&self) -> u32 {
        self.version
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch(self.tables)?)
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx
            .connection()
            .execute_batch("DROP VIEW large; DROP TABLE items; DROP TABLE orders; DROP TABLE totals")?)
    }
    async fn apply(&self, event: Recorded<'_, Self::Event>, tx: &mut Tx) -> Result<(), BoxError> {
        let order = event.stream_id().as_str();
        let count = "INSERT INTO orders (id, amount) VALUES (?1, ?2)
            ON CONFLICT (id) DO UPDATE SET amount = amount + excluded.amount";
        tx.connection().prepare_cached(count)?.execute((order, self.amount))?;
        let item = "INSERT INTO main.items (order_id, text) VALUES (?1, 'x')";
        tx.connection().prepare_cached(item)?.execute([order])?;
        Ok(())
    }
}

struct Shop {
    folder: tempfile::TempDir,
    log: Arc<memory::Store>,
    orders: AtomicU64,
}

impl Shop {
    fn new() -> Self {
        let log = Arc::new(memory::Store::new());
        Self { folder: tempfile::tempdir().unwrap(), log, orders: AtomicU64::new(0) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("orders.db")
    }

    async fn order(&self, count: usize) {
        for _ in 0..count {
            order(&*self.log, self.orders.fetch_add(1, SeqCst)).await;
        }
    }

    fn start(&self, orders: Orders) -> Running {
        start(self.log.clone(), &self.file(), orders, Settings::default())
    }

    /// Any other connection to the file, as another process has one.
    fn connection(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    /// The names of the files of other slots.
    fn others(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.contains("__") && !name.ends_with("-wal") && !name.ends_with("-shm"))
            .collect()
    }
}

/// Commits the n-th event, to one of ten streams.
async fn order(log: &impl EventStore, n: u64) {
    let stream = format!("order-{}", n % 10).parse().unwrap();
    let commit =
        Commit::new(stream, Expectation::LastChangeset((n / 10).into()), Events::parse("[1]").unwrap());
    log.commit(commit).await.unwrap();
}

fn start(log: Arc<dyn ees_store::ChangesetLog>, file: &Path, orders: Orders, settings: Settings) -> Running {
    let mut projector = Projector::new(log);
    projector.projection(orders, Database::open(file).unwrap(), settings).unwrap();
    projector.start()
}

async fn status_when(running: &Running, wanted: impl Fn(&Status) -> bool) -> Status {
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let status = running.handle().status("orders").await.unwrap();
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    match found.await {
        Ok(status) => status,
        Err(_) => panic!("it is {:#?}", running.handle().status("orders").await),
    }
}

async fn caught_up(running: &Running) {
    status_when(running, |status| {
        status.state == State::Following && status.lag_changesets == 0 && status.checkpoint.get() > 0
    })
    .await;
}

fn follows(status: &Status) -> bool {
    status.standby.as_ref().is_some_and(|standby| standby.plan.role == StandbyRole::Following)
}

async fn rebuild(running: &Running) {
    let wanted = SideBySide { verify: true, ..SideBySide::default() };
    running.handle().rebuild_side_by_side("orders", wanted, "").await.unwrap();
    status_when(running, follows).await;
}

fn all<T: ees_projector::sqlite::rusqlite::types::FromSql>(connection: &Connection, sql: &str) -> Vec<T> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn one(connection: &Connection, sql: &str) -> i64 {
    all(connection, sql)[0]
}

const SCHEMA: &str =
    "SELECT sql FROM sqlite_schema WHERE name NOT GLOB 'ees_*' AND sql IS NOT NULL ORDER BY name";
const ROWS: &str = "SELECT format('%s %d %d', id, amount, double) FROM orders
    UNION ALL SELECT format('%d %s %s', number, order_id, text) FROM items
    UNION ALL SELECT format('%d', amount) FROM totals UNION ALL SELECT id FROM large";

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_every_kind_are_swapped_and_back_and_go_on() {
    let shop = Shop::new();
    shop.order(40).await;
    let running = shop.start(Orders::ONE);
    caught_up(&running).await;
    let reader = shop.connection();
    let (schema, rows): (Vec<String>, Vec<String>) = (all(&reader, SCHEMA), all(&reader, ROWS));
    assert_eq!(rows.len(), 10 + 40 + 1 + 10);

    rebuild(&running).await;
    assert_eq!((all::<String>(&reader, SCHEMA), all::<String>(&reader, ROWS)), (schema.clone(), rows));
    assert_eq!(shop.others().len(), 1, "{:?}", shop.others());
    shop.order(10).await;
    caught_up(&running).await;
    assert_eq!(one(&reader, "SELECT amount FROM totals"), 50);
    assert_eq!(one(&reader, "SELECT max(number) FROM items"), 50);
    running.handle().rollback("orders", false, "").await.unwrap();
    caught_up(&running).await;
    assert_eq!(all::<String>(&reader, SCHEMA), schema);
    assert_eq!(one(&reader, "SELECT sum(amount) FROM orders"), 50, "the old one has followed");
    assert!(running.handle().verify("orders").await.unwrap().is_equal());
    running.handle().discard_standby("orders", "").await.unwrap();
    assert_eq!(shop.others(), Vec::<String>::new());
    assert_eq!(all::<String>(&reader, "PRAGMA integrity_check"), ["ok"]);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_which_it_is_not_known_who_made_them_are_compared_and_swapped() {
    let shop = Shop::new();
    shop.order(20).await;
    let running = shop.start(Orders::ONE);
    caught_up(&running).await;
    let user = shop.connection();
    // As an earlier version of ees left it.
    user.execute_batch("UPDATE ees_projections SET objects = NULL; CREATE TABLE mine (n)").unwrap();
    assert!(running.handle().verify("orders").await.unwrap().is_equal());
    rebuild(&running).await;
    shop.order(5).await;
    caught_up(&running).await;
    running.handle().rollback("orders", false, "").await.unwrap();
    assert_eq!(one(&user, "SELECT sum(amount) FROM orders"), 25);
    assert_eq!(one(&user, "SELECT count(*) FROM mine"), 0);
    running.shut_down().await;
}

#[tokio::test]
async fn a_transaction_on_two_read_models_begins_with_the_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("read.db")).unwrap();
    let (live, standby) = (ReadModelId::live("orders"), ReadModelId::new("orders", Slot::Standby));
    let mut tx = database.begin_in(&standby).await.unwrap();
    assert_eq!(tx.load(&standby).await.unwrap(), None);
    let refused = tx.load(&live).await.unwrap_err().to_string();
    assert!(refused.contains("begins with the live one"), "{refused}");
    drop(tx);
    let mut tx = database.begin_in(&live).await.unwrap();
    assert_eq!(tx.load(&live).await.unwrap(), None);
    assert_eq!(tx.load(&standby).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_file_open_finds_rows_and_position_of_one_read_model_at_every_moment() {
    let shop = Shop::new();
    shop.order(40).await;
    let old = shop.start(Orders::ONE);
    caught_up(&old).await;
    let stop = Arc::new(AtomicBool::new(false));
    let reading = {
        let (reader, stop) = (shop.connection(), stop.clone());
        tokio::task::spawn_blocking(move || {
            let mut seen = std::collections::BTreeSet::new();
            let mut sum = reader.prepare("SELECT sum(amount) FROM orders").unwrap();
            while !stop.load(SeqCst) {
                reader.execute_batch("BEGIN").unwrap();
                let at = checkpoint(&reader, "orders").unwrap().unwrap().get();
                let sum: u64 = sum.query_row([], |row| row.get(0)).unwrap();
                reader.execute_batch("COMMIT").unwrap();
                assert!(sum == at || sum == 3 * at, "sum {sum} at {at}");
                seen.insert(sum / at);
            }
            seen
        })
    };
    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..Settings::default() };
    let three = Orders { version: 2, amount: 3, ..Orders::ONE };
    let new = start(shop.log.clone(), &shop.file(), three, beside);
    for _ in 0..3 {
        status_when(&old, follows).await;
        shop.order(5).await;
        caught_up(&new).await;
        old.handle().rollback("orders", false, "").await.unwrap();
        status_when(&new, follows).await;
        shop.order(5).await;
        caught_up(&old).await;
        new.handle().rollback("orders", false, "").await.unwrap();
    }
    stop.store(true, SeqCst);
    assert_eq!(reading.await.unwrap(), std::collections::BTreeSet::from([1, 3]));
    old.shut_down().await;
    new.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_added_is_there_after_a_swap_or_is_named() {
    let shop = Shop::new();
    shop.order(20).await;
    let running = shop.start(Orders::ONE);
    caught_up(&running).await;
    let user = shop.connection();
    user.execute_batch(
        "CREATE INDEX mine ON orders (double);
         CREATE TABLE notes (order_id TEXT REFERENCES orders (id) ON DELETE CASCADE, text TEXT);
         INSERT INTO notes VALUES ('order-1', 'call');
         CREATE TRIGGER noted AFTER UPDATE ON orders WHEN new.amount > 1000 BEGIN DELETE FROM notes; END;
         CREATE VIEW mine_too AS SELECT count(*) AS n FROM orders JOIN notes ON order_id = id;
         ALTER TABLE totals ADD COLUMN remark TEXT;
         CREATE INDEX remarks ON totals (remark)",
    )
    .unwrap();
    // Compared, the two would differ by the column.
    running.handle().rebuild_side_by_side("orders", SideBySide::default(), "").await.unwrap();
    let status = status_when(&running, follows).await;
    let left_behind = status.standby.unwrap().plan.left_behind;
    assert_eq!(left_behind, ["column totals.remark", "index remarks"]);
    let names =
        "SELECT name FROM sqlite_schema WHERE name IN ('mine', 'noted', 'notes', 'mine_too') ORDER BY 1";
    assert_eq!(all::<String>(&user, names), ["mine", "mine_too", "noted", "notes"]);
    assert_eq!(one(&user, "SELECT n FROM mine_too"), 1, "nobody's rows went with the old tables");
    // The column is still there, and comes back.
    running.handle().rollback("orders", false, "").await.unwrap();
    assert_eq!(one(&user, "SELECT count(remark) FROM totals"), 0);
    assert_eq!(all::<String>(&user, names), ["mine", "mine_too", "noted", "notes"]);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_read_model_in_the_file_is_left_alone() {
    let shop = Shop::new();
    shop.order(20).await;
    let running = shop.start(Orders::ONE);
    caught_up(&running).await;
    let mut projector = Projector::new(shop.log.clone());
    projector.fold(Counts, Database::open(shop.file()).unwrap(), Settings::default()).unwrap();
    let counting = projector.start();
    let head = running.handle().status("orders").await.unwrap().head;
    counting.handle().when_reached("counts", head, Duration::from_secs(20)).await.unwrap();
    rebuild(&running).await;
    counting.handle().rebuild_side_by_side("counts", SideBySide::default(), "").await.unwrap();
    let reader = shop.connection();
    let both = "SELECT format('%d %d', (SELECT sum(state) FROM counts), (SELECT sum(amount) FROM orders))";
    assert_eq!(all::<String>(&reader, both), ["20 20"]);
    assert!(running.handle().verify("orders").await.unwrap().is_equal());
    assert!(counting.handle().verify("counts").await.unwrap().is_equal());
    counting.shut_down().await;
    running.shut_down().await;
}

struct Counts;

impl ees_projector::Fold for Counts {
    type Event = serde::de::IgnoredAny;
    type Key = String;
    type State = u64;
    fn name(&self) -> &str {
        "counts"
    }
    fn key(&self, event: Recorded<'_, Self::Event>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<u64>, _: Recorded<'_, Self::Event>) -> Option<u64> {
        Some(row.unwrap_or(0) + 1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_swapped_is_said_and_nothing_has_changed() {
    let shop = Shop::new();
    shop.order(10).await;
    let searched = Orders {
        tables: "CREATE TABLE orders (id TEXT PRIMARY KEY, amount); CREATE TABLE totals (n);
            CREATE TABLE items (order_id, text); CREATE VIRTUAL TABLE words USING fts5(text);
            CREATE VIEW large AS SELECT 1",
        ..Orders::ONE
    };
    let running = shop.start(searched);
    caught_up(&running).await;
    let only_built = SideBySide { no_swap: true, ..SideBySide::default() };
    running.handle().rebuild_side_by_side("orders", only_built, "").await.unwrap();
    status_when(&running, |status| status.standby.as_ref().is_some_and(|it| it.checkpoint.get() == 10)).await;
    let refused = running.handle().swap("orders", false, "").await.unwrap_err().to_string();
    assert!(
        refused.contains("\"words\" is a virtual table") && refused.contains("rebuild in place"),
        "{refused}"
    );
    running.shut_down().await;

    let shop = Shop::new();
    shop.order(10).await;
    let running = shop.start(Orders::ONE);
    caught_up(&running).await;
    running.shut_down().await;
    // A new version has a table that somebody else has made.
    shop.connection().execute_batch("CREATE TABLE mine (n)").unwrap();
    let taken = Orders {
        version: 2,
        tables: "CREATE TABLE mine (n); CREATE TABLE orders (id TEXT PRIMARY KEY,
        amount); CREATE TABLE items (order_id, text)",
        ..Orders::ONE
    };
    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..Settings::default() };
    let running = start(shop.log.clone(), &shop.file(), taken, beside);
    let is_told = |status: &Status| {
        let note = status.standby.as_ref().and_then(|standby| standby.plan.note.as_ref());
        note.is_some_and(|note| note.contains("\"mine\" that the projection did not make"))
    };
    status_when(&running, is_told).await;
    assert_eq!(one(&shop.connection(), "SELECT sum(amount) FROM orders"), 10);
    running.shut_down().await;
}

/// Keeps tables whose columns and rows are hard to compare.
struct Hostile;

const HOSTILE: &str = r#"
    CREATE TABLE "a ""quoted"" größe" (t TEXT, b, "select" REAL, ees_side TEXT, PRIMARY KEY (t, b)) WITHOUT ROWID;
    INSERT INTO "a ""quoted"" größe" VALUES ('1', 1, 0.1, 'x'), ('1', 2, 0.1, 'x');
    CREATE TABLE folded (name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, n);
    INSERT INTO folded VALUES ('Ada', 1), ('Bob', x'00ff');
    CREATE TABLE nulls (k TEXT PRIMARY KEY, n);
    INSERT INTO nulls VALUES (NULL, 1), (NULL, 2);
    CREATE TABLE heap (n, text TEXT COLLATE NOCASE);
    INSERT INTO heap VALUES (1, 'a'), (1, 'a'), (1, 'b'), (NULL, NULL);
    CREATE TABLE numbered (n INTEGER PRIMARY KEY, text);
    INSERT INTO numbered VALUES (1, 'a');"#;

impl Projection<Tx> for Hostile {
    type Event = serde::de::IgnoredAny;

    fn name(&self) -> &str {
        "orders"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        Ok(tx.connection().execute_batch(HOSTILE)?)
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, Self::Event>, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_is_compared_exactly_whatever_tables_and_columns_are_called() {
    let shop = Shop::new();
    shop.order(1).await;
    let mut projector = Projector::new(shop.log.clone());
    projector.projection(Hostile, Database::open(shop.file()).unwrap(), Settings::default()).unwrap();
    let running = projector.start();
    caught_up(&running).await;
    let verify = async || -> Comparison { running.handle().verify("orders").await.unwrap() };
    let equal = verify().await;
    assert_eq!((equal.rows, equal.differences), (11, vec![]));
    for (damage, mend, expected) in [
        (
            r#"UPDATE "a ""quoted"" größe" SET ees_side = NULL WHERE b = 2"#,
            r#"UPDATE "a ""quoted"" größe" SET ees_side = 'x'"#,
            &[r#"table a "quoted" größe: changed row (1,2): (1,2,0.1,), expected (1,2,0.1,x)"#][..],
        ),
        (
            "UPDATE folded SET name = 'ADA', n = 1.0 WHERE name = 'ada'",
            "UPDATE folded SET name = 'Ada', n = 1 WHERE name = 'ada'",
            &["table folded: changed row ADA: (ADA,1.0), expected (Ada,1)"],
        ),
        (
            "UPDATE folded SET n = '1' WHERE name = 'ada'",
            "UPDATE folded SET n = 1 WHERE name = 'ada'",
            &["table folded: changed row Ada: (Ada,1), expected (Ada,1)"],
        ),
        (
            "UPDATE nulls SET n = 3 WHERE n = 2",
            "UPDATE nulls SET n = 2 WHERE n = 3",
            &["table nulls: extra row (,3)", "table nulls: missing row (,2)"],
        ),
        (
            "DELETE FROM heap WHERE rowid = 1; UPDATE heap SET text = 'B' WHERE text = 'b'",
            "INSERT INTO heap VALUES (1, 'a'); UPDATE heap SET text = 'b' WHERE text = 'b'",
            &[
                "table heap: extra row (1,B)",
                "table heap: missing row (1,a)",
                "table heap: missing row (1,b)",
            ],
        ),
        (
            "INSERT INTO numbered VALUES (0, 'z'); DELETE FROM numbered WHERE n = 1",
            "DELETE FROM numbered; INSERT INTO numbered VALUES (1, 'a')",
            &["table numbered: extra row 0: (0,z)", "table numbered: missing row 1: (1,a)"],
        ),
        (
            "ALTER TABLE numbered ADD COLUMN more",
            "ALTER TABLE numbered DROP COLUMN more",
            &[
                "table numbered: has the columns (n INTEGER, text , more ), but the one built for comparison has \
               (n INTEGER, text )",
            ],
        ),
    ] {
        shop.connection().execute_batch(damage).unwrap();
        let mut found = verify().await.differences;
        found.sort();
        assert_eq!(found, expected, "{damage}");
        shop.connection().execute_batch(mend).unwrap();
    }
    let many = "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 500)
        INSERT INTO numbered SELECT n, 'x' FROM n";
    shop.connection().execute_batch(many).unwrap();
    assert_eq!(verify().await.differences.len(), Comparison::DIFFERENCES_MAX);
    assert_eq!(shop.others(), Vec::<String>::new());
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_a_killed_process_no_longer_needed_goes_with_the_next_one() {
    let shop = Shop::new();
    shop.order(10).await;
    let running = shop.start(Orders::ONE);
    caught_up(&running).await;
    let verify = async || running.handle().verify("orders").await.unwrap();
    assert!(verify().await.is_equal());
    // As if it had been killed after the commit, and before it deleted the file.
    let killed = std::fs::write(shop.folder.path().join("orders.db.orders__scratch-1"), []);
    killed.unwrap();
    assert!(verify().await.is_equal());
    assert_eq!(shop.others(), Vec::<String>::new());
    running.shut_down().await;
}

const FOLDER: &str = "EES_TEST_SIDE_BY_SIDE";

/// Rebuilds side by side, swaps, rolls back and verifies, again and again, until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program that the other tests start"]
async fn swapper() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let running = in_folder(Path::new(&folder));
    caught_up(&running).await;
    println!("started");
    loop {
        let swap = SideBySide::default();
        if running.handle().rebuild_side_by_side("orders", swap, "").await
            != Err(OperateError::AlreadyBuilding)
        {
            status_when(&running, follows).await;
            running.handle().rollback("orders", false, "").await.unwrap();
        }
        assert!(running.handle().verify("orders").await.unwrap().is_equal());
    }
}

fn in_folder(folder: &Path) -> Running {
    let log = Arc::new(sqlite::Store::open(folder.join("log.db")).unwrap());
    start(log, &folder.join("orders.db"), Orders::ONE, Settings::default())
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_rebuild_leaves_a_whole_read_model_and_the_next_process_goes_on() {
    let shop = Shop::new();
    let folder = shop.folder.path().to_owned();
    let log = sqlite::Store::open(folder.join("log.db")).unwrap();
    for n in 0..200 {
        order(&log, n).await;
    }
    drop(log);
    let files = "SELECT coalesce(max(file), 0) FROM ees_slots";
    let mut round = 0;
    // Until the processes have come to some swaps, each of which makes a file.
    while round < 12 || one(&shop.connection(), files) < 20 {
        assert!(round < 60, "{round} processes made {} files", one(&shop.connection(), files));
        round += 1;
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["swapper", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        program.env(FOLDER, &folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Killed(program.spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("started"))), "it does not start");
        // Not a wait for something: any moment of the swaps will do.
        tokio::time::sleep(Duration::from_millis(37 * round % 211)).await;
        drop(child);
        let reader = shop.connection();
        assert_eq!(one(&reader, "SELECT checkpoint FROM ees_projections WHERE name = 'orders'"), 200);
        assert_eq!(one(&reader, "SELECT sum(amount) FROM orders"), 200, "round {round}");
        assert_eq!(one(&reader, "SELECT amount FROM totals"), 200, "round {round}");
    }
    let running = in_folder(&folder);
    caught_up(&running).await;
    // What was begun is completed first.
    status_when(&running, |status| status.standby.is_none() || follows(status)).await;
    rebuild(&running).await;
    running.handle().rollback("orders", false, "").await.unwrap();
    assert!(running.handle().verify("orders").await.unwrap().is_equal());
    assert_eq!(shop.others().len(), 1, "{:?}", shop.others());
    assert_eq!(all::<String>(&shop.connection(), "PRAGMA integrity_check"), ["ok"]);
    running.shut_down().await;
}
