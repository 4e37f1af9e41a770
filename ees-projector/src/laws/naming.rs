//! Names of tables, keys and columns that a database uses itself, in SQL or inside of its statements: they work
//! alike on every database, or are refused when the projection is registered.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::Subject;
use super::support::{ChangingLog, LONG, fresh};
use crate::database::{Database, FoldRows, Transaction};
use crate::read_model::{Change, Column, ColumnType, Row, Value};
use crate::read_model_id::ReadModelId;
use crate::{BoxError, Fold, Order, Projection, Projector, Recorded, RegisterError, Settings, Table};

/// Aliases, reserved words, functions and types of some database.
const COLUMNS: &[&str] = &[
    "a",
    "b",
    "c",
    "d",
    "i",
    "j",
    "k",
    "n",
    "o",
    "p",
    "q",
    "r",
    "s",
    "t",
    "u",
    "v",
    "x",
    "y",
    "c0",
    "c1",
    "c2",
    "known",
    "new",
    "old",
    "this",
    "excluded",
    "rows",
    "key",
    "value",
    "values",
    "state",
    "name",
    "version",
    "checkpoint",
    "select",
    "from",
    "table",
    "order",
    "group",
    "user",
    "all",
    "any",
    "array",
    "limit",
    "offset",
    "default",
    "primary",
    "references",
    "rowid",
    "oid",
    "text",
    "bigint",
    "json",
    "uuid",
    "timestamp",
    "count",
    "sum",
    "unnest",
    "current_user",
    "session_user",
    "row",
    "type",
    "null",
    "true",
    "as_yet_unnamed_with_as_many_letters_as_it_may",
];

/// A projection with a table and a key of these names, and all the columns.
#[derive(Clone, Copy)]
struct Named {
    name: &'static str,
    table: &'static str,
    key: &'static str,
}

const NAMED: [Named; 7] = [
    Named { name: "excluded", table: "excluded", key: "excluded" },
    Named { name: "t", table: "t", key: "t" },
    Named { name: "select", table: "select", key: "order" },
    Named { name: "r", table: "unnest", key: "k" },
    Named { name: "user", table: "main", key: "rowid" },
    Named { name: "text", table: "text", key: "c0" },
    Named { name: "temp", table: "pg_class", key: "as_yet_unnamed_with_as_many_letters_as_it_may" },
];

impl Named {
    fn table(self) -> Table {
        let columns = COLUMNS.iter().copied().filter(|column| *column != self.key);
        let columns = columns.map(|name| Column::new(name, ColumnType::BigInt).nullable());
        let key = Column::new(self.key, ColumnType::Text);
        let table = columns.fold(Table::new(self.table, key), Table::with_column);
        table.with_index(["c1", "c2"]).with_index(["c2"]).with_index(["oid", "text"])
    }

    /// What all columns contain after this many events.
    fn row(self, events: i64) -> Row {
        (1..).take(COLUMNS.len() - 1).map(|number: i64| Value::Int(number * events)).collect()
    }
}

impl<Tx: FoldRows> Projection<Tx> for Named {
    type Event = IgnoredAny;

    fn name(&self) -> &str {
        self.name
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.create_table(&self.table()).await
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.drop_table(&self.table()).await
    }
    /// The first three events of a stream write its row, the fourth one removes it.
    async fn apply(&self, event: Recorded<'_, IgnoredAny>, tx: &mut Tx) -> Result<(), BoxError> {
        let (table, key) = (self.table(), event.stream_id().as_str());
        let before = tx.load_rows(&table, &[key]).await?.remove(0);
        let events = i64::try_from(event.event_id.get())?;
        let expected = (events > 1).then(|| self.row(events - 1));
        if before != expected {
            return Err(format!("{before:?}, not {expected:?}").into());
        }
        let row = (events < 4).then(|| self.row(events));
        tx.write_rows(&table, &[Change { key: key.to_owned(), before, row }]).await
    }
}

/// Rows are written, read, changed, removed, compared and rebuilt, whatever the tables, keys and columns are called.
pub async fn names_that_statements_use_themselves_work_everywhere<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut projector = Projector::new(log.clone());
    for named in NAMED {
        projector.projection(named, subject.database(), Settings::default()).unwrap();
    }
    let running = projector.start();
    for stream in ["removed", "kept", "removed", "kept", "removed", "removed"] {
        log.append(stream, "1").await;
    }
    for round in ["followed", "rebuilt"] {
        for named in NAMED {
            let Named { name, .. } = named;
            running
                .handle()
                .when_reached(name, 6.into(), LONG)
                .await
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut tx = subject.database().begin().await.unwrap();
            let control = tx.load(&ReadModelId::live(name)).await.unwrap().unwrap();
            assert!(tx.replace(&ReadModelId::live(name), control.position, &control).await.unwrap());
            let rows = tx.load_rows(&named.table(), &["kept", "removed"]).await.unwrap();
            assert_eq!(rows, [Some(named.row(2)), None], "{name} {round}");
            drop(tx);
            if S::CAPABILITIES.side_by_side && round == "rebuilt" {
                let compared = running.handle().verify(name).await.unwrap();
                assert_eq!((compared.rows, compared.differences), (1, vec![]), "{name} {round}");
            }
            running.handle().rebuild(name, "to see").await.unwrap();
        }
    }
    running.shut_down().await;
}

struct Kept(&'static str, Table);

impl Fold for Kept {
    type Event = IgnoredAny;
    type Key = String;
    type State = ();

    fn name(&self) -> &str {
        self.0
    }
    fn table(&self) -> Table {
        self.1.clone()
    }
    fn key(&self, _: Recorded<'_, IgnoredAny>) -> Option<String> {
        None
    }
    fn fold(&self, row: Option<()>, _: Recorded<'_, IgnoredAny>) -> Option<()> {
        row
    }
}

/// A name that one of the databases can't take is refused for all of them, when the fold is registered.
pub async fn names_that_a_database_can_not_take_are_refused_at_once<S: Subject>() {
    let mut projector = Projector::new(ChangingLog::new());
    let database = fresh::<S>().await;
    let mut refused = |name: &'static str, table: Table| {
        projector.fold(Kept(name, table), database.database(), Settings::default()).err()
    };
    let key = || Column::new("id", ColumnType::Text);
    let of = |column: &str| Column::new(Cow::Owned(column.to_owned()), ColumnType::BigInt);
    for system in ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"] {
        let column = refused("kept", Table::new("kept", key()).with_column(of(system)));
        assert!(matches!(column, Some(RegisterError::InvalidTable(_))), "column {system}");
        let key = refused("kept", Table::new("kept", of(system)));
        assert!(matches!(key, Some(RegisterError::InvalidTable(_))), "key {system}");
    }
    let long = "a".repeat(63);
    for odd in [
        "",
        "Upper",
        "with space",
        "quo\"te",
        "apo'strophe",
        "größe",
        "_a",
        "1a",
        "ees_a",
        "a.b",
        "a\0b",
        &long,
    ] {
        let column = refused("kept", Table::new("kept", key()).with_column(of(odd)));
        assert!(matches!(column, Some(RegisterError::InvalidTable(_))), "column {odd:?}");
        let key = refused("kept", Table::new("kept", of(odd)));
        assert!(matches!(key, Some(RegisterError::InvalidTable(_))), "key {odd:?}");
        for table in [Table::new(odd.to_owned(), of("id")), Table::document(odd.to_owned())] {
            assert!(matches!(refused("kept", table), Some(RegisterError::InvalidTable(_))), "table {odd:?}");
        }
    }
    for schema in ["public", "information_schema", "pg_catalog", "pg_mine", "ees"] {
        let refusal = refused(schema, Table::document("kept"));
        assert!(matches!(refusal, Some(RegisterError::InvalidName(_))), "projection {schema}");
    }
    let twice = Table::new("kept", key()).with_column(of("a")).with_index(["a"]).with_index(["a"]);
    assert!(matches!(refused("kept", twice), Some(RegisterError::InvalidTable(_))), "the same index twice");
}
