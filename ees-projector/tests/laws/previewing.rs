//! A preview of a projection with SQL of its own, whose next version has other tables and columns; and everything that
//! is in the database before and after it.

use std::sync::Arc;
use std::time::Duration;

use ees_projector::database::Database;
use ees_projector::preview::{Preview, PreviewOptions, ProjectionPreview, TypeDifference};
use ees_projector::sqlite::rusqlite::{Connection, types::Value};
use ees_projector::{BoxError, Projection, Projector, Recorded, Running, Settings, postgres, sqlite};
use ees_store::{Commit, EventStore, Events, Expectation, memory};
use sqlx::{AssertSqlSafe, Row};

/// Writes each event into tables by statements of its own.
#[derive(Clone, Copy)]
struct Orders {
    version: u32,
    tables: &'static [&'static str],
    statements: &'static [&'static str],
}

const OLD: Orders = Orders {
    version: 1,
    tables: &[
        "CREATE TABLE orders (id text PRIMARY KEY, pieces integer NOT NULL, note text)",
        "CREATE TABLE lines (id text, text text)",
        "CREATE TABLE gone (id text)",
    ],
    statements: &[
        "INSERT INTO orders VALUES ('{id}', 1, 'x')",
        "INSERT INTO lines VALUES ('{id}', 'a')",
        "INSERT INTO lines VALUES ('{id}', 'a')",
    ],
};

const NEW: Orders = Orders {
    version: 2,
    tables: &[
        "CREATE TABLE orders (paid boolean, pieces bigint NOT NULL, id text PRIMARY KEY)",
        "CREATE TABLE lines (id text, text text)",
        "CREATE TABLE payments (id text)",
    ],
    statements: &[
        "INSERT INTO orders VALUES (true, 2, '{id}')",
        "INSERT INTO lines VALUES ('{id}', 'a')",
        "INSERT INTO lines VALUES ('{id}', 'b')",
    ],
};

impl Orders {
    /// Of the orders that the old version wrote, the last is written by another name.
    fn statements_for(&self, stream: &str) -> Vec<String> {
        let id = if self.version == 2 && stream == "order-3" { "order-9" } else { stream };
        self.statements.iter().map(|statement| statement.replace("{id}", id)).collect()
    }
}

impl Projection<sqlite::Tx> for Orders {
    type Event = serde::de::IgnoredAny;
    fn name(&self) -> &str {
        "orders"
    }
    fn version(&self) -> u32 {
        self.version
    }
    async fn create_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        self.tables.iter().try_for_each(|table| Ok(tx.connection().execute_batch(table)?))
    }
    async fn drop_tables(&self, _: &mut sqlite::Tx) -> Result<(), BoxError> {
        Err("nobody wipes a read model in a preview".into())
    }
    async fn apply(&self, event: Recorded<'_, Self::Event>, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
        let statements = self.statements_for(event.stream_id().as_str());
        statements.iter().try_for_each(|statement| Ok(tx.connection().execute_batch(statement)?))
    }
}

impl Projection<postgres::Tx> for Orders {
    type Event = serde::de::IgnoredAny;
    fn name(&self) -> &str {
        "orders"
    }
    fn version(&self) -> u32 {
        self.version
    }
    async fn create_tables(&self, tx: &mut postgres::Tx) -> Result<(), BoxError> {
        sqlx::raw_sql(AssertSqlSafe(self.tables.join(";"))).execute(tx.connection()).await?;
        Ok(())
    }
    async fn drop_tables(&self, _: &mut postgres::Tx) -> Result<(), BoxError> {
        Err("nobody wipes a read model in a preview".into())
    }
    async fn apply(&self, event: Recorded<'_, Self::Event>, tx: &mut postgres::Tx) -> Result<(), BoxError> {
        let statements = self.statements_for(event.stream_id().as_str()).join(";");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(tx.connection()).await?;
        Ok(())
    }
}

async fn orders() -> Arc<memory::Store> {
    let log = Arc::new(memory::Store::new());
    for number in 1..=3 {
        let placed = Events::parse("[1]").unwrap();
        let stream = format!("order-{number}").parse().unwrap();
        log.commit(Commit::new(stream, Expectation::NewStream, placed)).await.unwrap();
    }
    log
}

fn projector<D: Database + Clone>(log: &Arc<memory::Store>, database: &D, orders: Orders) -> Projector
where
    Orders: Projection<D::Tx>,
{
    let mut projector = Projector::new(log.clone());
    projector.projection(orders, database.clone(), Settings::default()).unwrap();
    projector
}

async fn started<D: Database + Clone>(log: &Arc<memory::Store>, database: &D) -> Running
where
    Orders: Projection<D::Tx>,
{
    let running = projector(log, database, OLD).start();
    running.handle().when_reached("orders", 3.into(), Duration::from_secs(20)).await.unwrap();
    running
}

async fn previewed<D: Database + Clone>(
    log: &Arc<memory::Store>,
    database: &D,
    orders: Orders,
) -> ProjectionPreview
where
    Orders: Projection<D::Tx>,
{
    match projector(log, database, orders).preview("orders", PreviewOptions::default()).await.unwrap() {
        Preview::Projection(preview) => preview,
        Preview::Reactor(_) => panic!("the preview of a reactor"),
    }
}

fn is_right(preview: &ProjectionPreview, pieces: (&str, &str)) {
    assert_eq!(preview.rows.tables_only_live, ["gone"]);
    assert_eq!(preview.rows.tables_only_new, ["payments"]);
    let [lines, orders] = preview.rows.tables.as_slice() else { panic!("two tables: {preview:#?}") };
    assert_eq!((orders.changed, orders.added, orders.removed), (2, 1, 1), "{orders:#?}");
    assert_eq!(orders.columns, [("pieces".to_owned(), 2)].into());
    assert_eq!(
        (&*orders.columns_only_live, &*orders.columns_only_new),
        (&["note".into()][..], &["paid".into()][..])
    );
    let (live, new) = (pieces.0.to_owned(), pieces.1.to_owned());
    assert_eq!(orders.types, [TypeDifference { column: "pieces".to_owned(), live, new }]);
    assert!(orders.samples.iter().any(|sample| sample.key == "order-9"), "{orders:#?}");
    // Without a key: of each order, one line less and another one more. And all of one order.
    assert_eq!((lines.added, lines.removed, lines.changed), (4, 4, 0), "{lines:#?}");
}

/// All tables of a file with their rows, but the numbers of the files of standbys and previews.
fn everything_in(file: &std::path::Path) -> Vec<String> {
    let file = Connection::open(file).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'ees_slots' ORDER BY 1";
    let tables: Vec<String> =
        file.prepare(tables).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut found = tables.clone();
    for table in tables {
        let mut statement = file.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<Value> = (0..columns).map(|at| row.get(at).unwrap()).collect();
            found.push(format!("{table}: {values:?}"));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_on_sqlite_tells_of_tables_and_columns_and_leaves_no_trace() {
    let (log, folder) = (orders().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("orders.db");
    let database = sqlite::Database::open(&file).unwrap();
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE of_others (a); INSERT INTO of_others VALUES (1)")
        .unwrap();
    let running = started(&log, &database).await;
    let before = everything_in(&file);
    // A database of another process.
    let other = sqlite::Database::open(&file).unwrap();
    is_right(&previewed(&log, &other, NEW).await, ("INTEGER", "bigint"));
    let same = previewed(&log, &other, OLD).await;
    assert!(same.is_equal(), "{same:#?}");
    assert_eq!(everything_in(&file), before);
    running.shut_down().await;
    drop((database, other));
    let names =
        std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = names.filter(|name| name.contains("__preview")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// All tables of a database with their rows.
async fn everything_at(database: &postgres::Database) -> Vec<String> {
    let tables = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(database.pool()).await.unwrap();
    let mut found = tables.clone();
    for table in tables {
        // A lease goes on in the meantime.
        let row = "to_jsonb(t) - 'leased_until' - 'seen_at'";
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT ({row})::text FROM {table} t ORDER BY 1")));
        let rows = rows.fetch_all(database.pool()).await.unwrap();
        found.extend(rows.iter().map(|row| format!("{table}: {}", row.get::<String, _>(0))));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_on_postgres_tells_of_tables_and_columns_and_leaves_no_trace() {
    let (log, own) = (orders().await, ees_test_postgres::TestDatabase::new().await);
    let database = postgres::Database::connect(own.url()).await.unwrap();
    let running = started(&log, &database).await;
    let before = everything_at(&database).await;
    let other = postgres::Database::connect(own.url()).await.unwrap();
    is_right(&previewed(&log, &other, NEW).await, ("integer", "bigint"));
    let same = previewed(&log, &other, OLD).await;
    assert!(same.is_equal(), "{same:#?}");
    assert_eq!(everything_at(&database).await, before);
    running.shut_down().await;
}

/// A role that may keep the framework's rows and make schemas, but only read the tables of the live read model.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_reads_the_live_tables_can_preview() {
    let (log, own) = (orders().await, ees_test_postgres::TestDatabase::new().await);
    let database = postgres::Database::connect(own.url()).await.unwrap();
    let running = started(&log, &database).await;
    let role = format!("preview_{}", std::process::id());
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x';
         DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$;
         GRANT USAGE ON SCHEMA ees, orders TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ees TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA ees TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA orders TO {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(database.pool()).await.unwrap();
    let (_, rest) = own.url().split_once("://").unwrap();
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    let other = postgres::Database::connect(&format!("postgres://{role}:x@{host}")).await.unwrap();
    is_right(&previewed(&log, &other, NEW).await, ("integer", "bigint"));
    running.shut_down().await;
    other.pool().close().await;
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(AssertSqlSafe(gone)).execute(database.pool()).await.unwrap();
}
