//! Folds whose states have columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use ees_store::Timestamp;
use serde::{Deserialize, Serialize};

use super::Subject;
use super::support::{Bench, ChangingLog, caught_up, fresh, settings};
use crate::ReadModelId;
use crate::database::{Database, FoldRows, Transaction};
use crate::read_model::{Change, Column, ColumnType, Row, Value};
use crate::{Fold, Order, Projector, ReadModel, Recorded, RegisterError, Running, Settings, Table};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AccountEvent {
    Opened { owner: String },
    Moved { cents: i64, tag: Option<String> },
    Closed,
    Forgotten,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "accounts", key = "account_id", index(owner), index(status, balance_cents))]
struct Account {
    owner: String,
    balance_cents: i64,
    average: f64,
    overdrawn: bool,
    status: Status,
    opened_at: Option<Timestamp>,
    tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Open,
    Closed,
}

/// The same rows, in columns or as documents.
struct Accounts {
    name: &'static str,
    typed: bool,
}

const TYPED: Accounts = Accounts { name: "typed", typed: true };
const DOCUMENTS: Accounts = Accounts { name: "documents", typed: false };

impl Fold for Accounts {
    type Event = AccountEvent;
    type Key = String;
    type State = Account;

    fn name(&self) -> &str {
        self.name
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        if self.typed { Account::table() } else { Table::document(self.name) }
    }
    fn key(&self, event: Recorded<'_, AccountEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Account>, event: Recorded<'_, AccountEvent>) -> Option<Account> {
        let mut row = row.unwrap_or_default();
        match event.event {
            AccountEvent::Opened { owner } => {
                row = Account {
                    owner: owner.clone(),
                    opened_at: Some(Timestamp::from_micros(1)),
                    ..Account::default()
                };
            }
            AccountEvent::Moved { cents, tag } => {
                row.balance_cents += cents;
                row.average = row.balance_cents as f64 / 3.0;
                row.overdrawn = row.balance_cents < 0;
                row.tags.extend(tag.clone());
            }
            AccountEvent::Closed => row = Account { status: Status::Closed, opened_at: None, ..row },
            AccountEvent::Forgotten => return None,
        }
        Some(row)
    }
}

async fn history(log: &ChangingLog) {
    for n in 0..40 {
        let stream = format!("account/{}", n % 7);
        let event = match n {
            0..7 => format!(r#"{{"type":"opened","owner":"öwner {}"}}"#, n % 2),
            10 | 30 => r#"{"type":"forgotten"}"#.to_owned(),
            11 | 33 => r#"{"type":"closed"}"#.to_owned(),
            _ => format!(r#"{{"type":"moved","cents":{},"tag":"\"{n}\""}}"#, 10 - n),
        };
        log.append(&stream, &event).await;
    }
}

fn start<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, fold: Accounts, batch: usize) -> Running {
    let mut projector = Projector::new(log.clone());
    let settings =
        Settings { batch_changesets_max: batch, span_changesets_max: batch, ..Settings::default() };
    projector.fold(fold, subject.database(), settings).unwrap();
    projector.start()
}

pub(super) async fn rows<S: Subject>(
    subject: &Arc<S>,
    fold: &str,
    table: &Table,
    keys: &[&str],
) -> Vec<Option<Row>> {
    let mut tx = subject.database().begin().await.unwrap();
    // The fence is also what steps into the schema, where each read model has one.
    let control = tx.load(&ReadModelId::live(fold)).await.unwrap().unwrap();
    assert!(tx.replace(&ReadModelId::live(fold), control.position, &control).await.unwrap());
    tx.load_rows(table, keys).await.unwrap()
}

async fn accounts<S: Subject>(subject: &Arc<S>, keys: &[&str]) -> Vec<Option<Row>> {
    rows(subject, TYPED.name, &Account::table(), keys).await
}

/// Rows with columns of every type are written, changed and removed; keys load in the order asked for.
pub async fn rows_are_written_changed_and_removed<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let running = start(&log, &subject, TYPED, 100);
    log.append("a", r#"{"type":"opened","owner":"ada"}"#).await;
    log.append("b", r#"{"type":"opened","owner":"bob"}"#).await;
    caught_up(&log, running.handle(), TYPED.name).await;
    let account = |owner: &str, cents, average, overdrawn, tags: &str| {
        Some(vec![
            Value::Text(owner.to_owned()),
            Value::Int(cents),
            Value::Float(average),
            Value::Bool(overdrawn),
            Value::Text("open".to_owned()),
            Value::Text("1970-01-01T00:00:00.000001Z".to_owned()),
            Value::Json(tags.to_owned()),
        ])
    };
    let expected = [account("bob", 0, 0.0, false, "[]"), None, account("ada", 0, 0.0, false, "[]")];
    assert_eq!(accounts(&subject, &["b", "c", "a"]).await, expected);

    log.append("a", r#"{"type":"forgotten"}"#).await;
    log.append("b", r#"{"type":"moved","cents":-3,"tag":"t"}"#).await;
    caught_up(&log, running.handle(), TYPED.name).await;
    assert_eq!(accounts(&subject, &["a", "b"]).await, [None, account("bob", -3, -1.0, true, r#"["t"]"#)]);
}

/// The same events give the same states, as columns and as documents.
pub async fn columns_and_documents_end_in_the_same_states<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    history(&log).await;
    let typed = start(&log, &subject, TYPED, 3);
    let documents = start(&log, &subject, DOCUMENTS, 5);
    caught_up(&log, typed.handle(), TYPED.name).await;
    caught_up(&log, documents.handle(), DOCUMENTS.name).await;
    let states: BTreeMap<String, Account> = subject
        .table("documents")
        .await
        .into_iter()
        .map(|(key, text)| (key, serde_json::from_str(&text).unwrap()))
        .collect();
    assert!(states.len() >= 5);
    for n in 0..7 {
        let key = format!("account/{n}");
        let row = accounts(&subject, &[&key]).await.remove(0);
        let expected = states.get(&key).map(|account| {
            let json = serde_json::to_string(&account.tags).unwrap();
            let status = if account.status == Status::Open { "open" } else { "closed" };
            vec![
                Value::Text(account.owner.clone()),
                Value::Int(account.balance_cents),
                Value::Float(account.average),
                Value::Bool(account.overdrawn),
                Value::Text(status.to_owned()),
                account.opened_at.map_or(Value::Null, |at| Value::Text(at.to_string())),
                Value::Json(json),
            ]
        });
        assert_eq!(row, expected, "{key}");
    }
}

/// A rebuild writes the same columns.
pub async fn a_rebuild_makes_the_same_columns<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    history(&log).await;
    let running = start(&log, &subject, TYPED, 4);
    caught_up(&log, running.handle(), TYPED.name).await;
    let keys = ["account/0", "account/1", "account/2", "account/3", "account/4", "account/5", "account/6"];
    let before = accounts(&subject, &keys).await;
    assert!(before.iter().flatten().count() >= 5);
    running.handle().rebuild(TYPED.name, "to compare").await.unwrap();
    caught_up(&log, running.handle(), TYPED.name).await;
    assert_eq!(accounts(&subject, &keys).await, before);
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "sums", key = "account")]
struct Sum {
    sum: f64,
    mean: f64,
    /// Beyond what a float holds exactly.
    count: i64,
    #[read_model(json)]
    parts: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Measured {
    Measured { value: f64, count: i64 },
}

#[derive(Clone, Copy)]
struct Sums {
    name: &'static str,
    typed: bool,
}

impl Fold for Sums {
    type Event = Measured;
    type Key = String;
    type State = Sum;

    fn name(&self) -> &str {
        self.name
    }
    fn table(&self) -> Table {
        if self.typed { Sum::table() } else { Table::document(self.name) }
    }
    fn key(&self, event: Recorded<'_, Measured>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Sum>, event: Recorded<'_, Measured>) -> Option<Sum> {
        let Measured::Measured { value, count } = event.event;
        let mut row = row.unwrap_or_default();
        row.sum += value;
        row.count += count;
        row.mean = row.sum / row.count as f64;
        row.parts.push(row.sum);
        Some(row)
    }
}

/// Numbers are read back as they were written: sums of floats are the same, however the log is cut into batches.
pub async fn sums_of_floats_do_not_depend_on_how_batches_are_cut<S: Subject>() {
    let log = ChangingLog::new();
    let streams: Vec<String> = (0..5).map(|n| format!("m{n}")).collect();
    for n in 0..60_u64 {
        let value = if n % 7 == 0 { 9_007_199_254_740_991.0 } else { 123.45 * n as f64 / 7.0 };
        let event = serde_json::json!({"type": "measured", "value": value, "count": (1_i64 << 53) + 1});
        log.append(&streams[n as usize % 5], &event.to_string()).await;
    }
    let keys: Vec<&str> = streams.iter().map(String::as_str).collect();
    let mut seen = Vec::new();
    for batch in [1, 7, 1_000] {
        let subject = fresh::<S>().await;
        let (typed, documents) = (Sums { name: "sums", typed: true }, Sums { name: "papers", typed: false });
        let mut projector = Projector::new(log.clone());
        let settings =
            Settings { batch_changesets_max: batch, span_changesets_max: batch, ..Settings::default() };
        projector.fold(typed, subject.database(), settings).unwrap();
        projector.fold(documents, subject.database(), settings).unwrap();
        let running = projector.start();
        caught_up(&log, running.handle(), typed.name).await;
        caught_up(&log, running.handle(), documents.name).await;
        let columns = rows(&subject, typed.name, &Sum::table(), &keys).await;
        let papers = subject.table(documents.name).await;
        for (key, row) in keys.iter().zip(&columns) {
            let paper: Sum = serde_json::from_str(&papers[*key]).unwrap();
            let row = row.as_ref().unwrap();
            assert_eq!(row[..2], [Value::Float(paper.sum), Value::Float(paper.mean)], "{key}");
        }
        running.shut_down().await;
        seen.push((columns, papers));
    }
    assert_eq!(seen[0], seen[2], "batches of one, and one batch");
    assert_eq!(seen[0], seen[1], "batches of one, and of seven");
}

#[derive(Serialize, Deserialize, ReadModel)]
#[read_model(key(number = "bigint"))]
struct Numbered {
    times: u32,
}

struct Numbers;

impl Fold for Numbers {
    type Event = serde::de::IgnoredAny;
    type Key = String;
    type State = Numbered;

    fn name(&self) -> &str {
        "journal"
    }
    fn table(&self) -> Table {
        Numbered::table()
    }
    fn key(&self, event: Recorded<'_, Self::Event>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Numbered>, _: Recorded<'_, Self::Event>) -> Option<Numbered> {
        Some(Numbered { times: row.map_or(0, |row| row.times) + 1 })
    }
}

/// Keys of type `BigInt` name the same row each time; a text that is no such key is a failure.
pub async fn a_key_that_does_not_fit_pauses_the_projection<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for stream in ["7", "-8", "7", "07"] {
        log.append(stream, "1").await;
    }
    let mut projector = Projector::new(log.clone());
    projector.fold(Numbers, subject.database(), settings()).unwrap();
    let bench = Bench { log, subject, running: projector.start() };
    let status = bench.paused().await;
    assert_eq!(status.checkpoint.get(), 3);
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("\"07\" is no BigInt key"), "{reason}");
    let rows = rows(&bench.subject, "journal", &Numbered::table(), &["7", "-8"]).await;
    assert_eq!(rows, [Some(vec![Value::Int(2)]), Some(vec![Value::Int(1)])]);
}

/// An enum without data is a column of text. A text that names no variant is refused by column and text.
pub async fn an_enum_without_data_is_text<S: Subject>() {
    const STATUS: usize = 4;
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let (fold, table) = (Accounts { name: "journal", typed: true }, Account::table());
    assert_eq!(table.columns[STATUS].ty, ColumnType::Text);
    log.append("a", r#"{"type":"opened","owner":"ada"}"#).await;
    let running = start(&log, &subject, fold, 1);
    caught_up(&log, running.handle(), "journal").await;
    running.shut_down().await;
    let before = rows(&subject, "journal", &table, &["a"]).await.remove(0);
    let mut row = before.clone().unwrap();
    assert_eq!(std::mem::replace(&mut row[STATUS], "frozen".into()), "open".into());

    let (live, mut tx) = (ReadModelId::live("journal"), subject.database().begin().await.unwrap());
    let control = tx.load(&live).await.unwrap().unwrap();
    assert!(tx.replace(&live, control.position, &control).await.unwrap());
    let change = Change { key: "a".to_owned(), before, row: Some(row) };
    if let Err(refusal) = tx.write_rows(&table, &[change]).await {
        // The table has a list of the variants.
        assert!(S::CAPABILITIES.columns && refusal.to_string().contains("ees_status_"), "{refusal}");
        return;
    }
    tx.commit().await.unwrap();
    log.append("a", r#"{"type":"closed"}"#).await;
    let mut projector = Projector::new(log.clone());
    projector.fold(Accounts { name: "journal", typed: true }, subject.database(), settings()).unwrap();
    let bench = Bench { log, subject, running: projector.start() };
    let reason = bench.paused().await.pause.unwrap().reason;
    for part in ["column accounts.status", "`frozen`", "`open` or `closed`"] {
        assert!(reason.contains(part), "{reason}");
    }
}

/// A table with a reserved name is refused when the fold is registered.
pub async fn a_table_that_can_not_be_is_refused_at_once<S: Subject>() {
    struct Reserved;
    impl Fold for Reserved {
        type Event = serde::de::IgnoredAny;
        type Key = String;
        type State = ();
        fn name(&self) -> &str {
            "reserved"
        }
        fn table(&self) -> Table {
            Table::new("ees_projections", Column::new("name", ColumnType::Text))
        }
        fn key(&self, _: Recorded<'_, Self::Event>) -> Option<String> {
            None
        }
        fn fold(&self, row: Option<()>, _: Recorded<'_, Self::Event>) -> Option<()> {
            row
        }
    }
    let mut projector = Projector::new(ChangingLog::new());
    let refusal = projector.fold(Reserved, fresh::<S>().await.database(), Settings::default()).unwrap_err();
    assert!(matches!(&refusal, RegisterError::InvalidTable(_)), "{refusal}");
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testkit::given;

    #[test]
    fn the_columns_are_what_serde_writes() {
        #[derive(Serialize, ReadModel)]
        #[read_model(key = "id")]
        #[serde(rename_all = "snake_case")]
        struct Odd {
            r#type: u8,
            #[serde(rename = "renamed")]
            name: &'static str,
            #[serde(skip)]
            _cached: u8,
            nothing: Option<Box<str>>,
            pair: (u8, u8),
        }
        let odd = Odd { r#type: 1, name: "n", _cached: 0, nothing: None, pair: (1, 2) };
        let written = serde_json::to_string(&odd).unwrap();
        assert_eq!(written, r#"{"type":1,"renamed":"n","nothing":null,"pair":[1,2]}"#);
        let columns: Vec<_> =
            Odd::table().columns.into_iter().map(|column| (column.name, column.ty)).collect();
        let expected = [
            ("type".into(), ColumnType::BigInt),
            ("renamed".into(), ColumnType::Text),
            ("nothing".into(), ColumnType::Text),
            ("pair".into(), ColumnType::Json),
        ];
        assert_eq!(columns, expected);
    }

    #[tokio::test]
    async fn the_test_kit_gives_states_with_columns_back() {
        let history = given([
            ("a", json!({"type": "opened", "owner": "ada"})),
            ("b", json!({"type": "opened", "owner": "bob"})),
            ("a", json!({"type": "moved", "cents": 3, "tag": "t"})),
            ("b", json!({"type": "forgotten"})),
        ]);
        let ada = Account {
            owner: "ada".to_owned(),
            balance_cents: 3,
            average: 1.0,
            opened_at: Some(Timestamp::from_micros(1)),
            tags: vec!["t".to_owned()],
            ..Account::default()
        };
        history.fold(TYPED).await.expect([("a", ada)]);
        history.check_fold(|| TYPED).await;
    }
}
