//! What columns hold: each value comes back exactly, or is refused by name. And when a table of the database is not
//! the one that the program would make.

use std::collections::BTreeMap;
use std::sync::Arc;

use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Subject;
use super::support::{Bench, ChangingLog, LONG, fresh, parking, settings};
use crate::database::{Database, FoldRows, Transaction};
use crate::read_model::{Column, ColumnType, Element};
use crate::{
    AsOf, Composite, Explain, Fold, OperateError, Order, Parking, Projector, ReadModel, ReadModelId,
    Recorded, Settings, SideBySide, StandbyRole, State, Table,
};

/// A column of each type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "edges", key = "key", index(whole))]
pub(super) struct Edge {
    text: String,
    letter: char,
    whole: i64,
    part: f64,
    single: f32,
    yes: bool,
    at: Timestamp,
    id: Uuid,
    #[read_model(column = "decimal")]
    price: String,
    #[read_model(column = "decimal")]
    large: u64,
    #[read_model(column = "decimal")]
    larger: i128,
    status: Status,
    note: Option<String>,
    count: Option<u64>,
    texts: Vec<String>,
    wholes: Vec<Option<i64>>,
    parts: Vec<f64>,
    truths: Vec<bool>,
    times: Vec<Timestamp>,
    ids: Option<Vec<Uuid>>,
    #[read_model(column = "decimal[]")]
    prices: Vec<String>,
    #[read_model(json)]
    anything: serde_json::Value,
    #[read_model(jsonb)]
    nested: Option<Nested>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Nested {
    name: String,
    numbers: BTreeMap<String, f64>,
    whole: Option<i64>,
    value: serde_json::Value,
    maybe: Option<Option<i64>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    #[default]
    Open,
    ClosedForGood,
}

fn plain() -> Edge {
    Edge {
        text: "a".to_owned(),
        letter: 'a',
        whole: 1,
        part: 0.5,
        single: 0.5,
        yes: true,
        at: Timestamp::from_micros(1),
        id: Uuid::from_u128(1),
        price: "1.50".to_owned(),
        large: 1,
        larger: 1,
        status: Status::Open,
        note: None,
        count: None,
        texts: Vec::new(),
        wholes: Vec::new(),
        parts: Vec::new(),
        truths: Vec::new(),
        times: Vec::new(),
        ids: None,
        prices: Vec::new(),
        anything: serde_json::Value::Null,
        nested: None,
    }
}

/// States that every database keeps.
pub(super) fn edges() -> Vec<Edge> {
    let strings =
        ["", "null", "\\N", "\\", "\"", "{a,b}", "a\tb\r\nc", "ünï 🦀", "'; DROP TABLE edges; --", " "];
    let texts = || strings.map(str::to_owned).to_vec();
    let mut edges = vec![plain()];
    edges.extend(strings.map(|text| Edge { text: text.to_owned(), note: Some(text.to_owned()), ..plain() }));
    edges.push(Edge { text: "long ".repeat(20_000), letter: '🦀', texts: texts(), ..plain() });
    for whole in [i64::MIN, i64::MIN + 1, -1, 0, (1 << 53) + 1, i64::MAX - 1, i64::MAX] {
        let at = Timestamp::from_micros(whole);
        let number = serde_json::json!({"whole": whole, "large": u64::MAX});
        let nested = Nested { whole: Some(whole), value: number.clone(), ..Nested::default() };
        edges.push(Edge {
            whole,
            at,
            times: vec![at, Timestamp::from_micros(0)],
            wholes: vec![None, Some(whole), Some(-whole.max(-i64::MAX))],
            count: u64::try_from(whole).ok(),
            anything: number,
            nested: Some(nested),
            ..plain()
        });
    }
    for part in
        [-0.0, 0.1, -1.5, 1e-129, 1.797e125, 9_007_199_254_740_993.0, 1e16, 1.234_567_890_123_456_7e19]
    {
        #[expect(clippy::cast_possible_truncation, reason = "any finite number will do")]
        let single = (part as f32).clamp(f32::MIN, f32::MAX);
        let numbers = BTreeMap::from([("n".to_owned(), part), ("longer".to_owned(), -part)]);
        let nested =
            Nested { numbers, value: serde_json::json!([part, {"b": 1, "a": part}]), ..Nested::default() };
        let anything = serde_json::json!([part, -part]);
        edges.push(Edge {
            part,
            single,
            parts: vec![part, -part],
            anything,
            nested: Some(nested),
            ..plain()
        });
    }
    for part in [5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN] {
        let nested = Nested { numbers: BTreeMap::from([("n".to_owned(), part)]), ..Nested::default() };
        let anything = serde_json::json!([part, "\0"]);
        edges.push(Edge { parts: vec![part], anything, nested: Some(nested), ..plain() });
    }
    for price in ["0", "0.00", "-0.10", "79228162514264337593543950335", "0.0000000000000000000000000001"] {
        edges.push(Edge { price: price.to_owned(), prices: vec![price.to_owned(); 2], ..plain() });
    }
    let last =
        Edge { large: u64::MAX, larger: i128::MIN, status: Status::ClosedForGood, yes: false, ..plain() };
    let ids = Some(vec![Uuid::from_u128(u128::MAX), Uuid::nil()]);
    edges.push(Edge { larger: i128::MAX, id: Uuid::nil(), ids, truths: vec![true, false], ..last.clone() });
    edges.push(last);
    edges
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum EdgeEvent {
    /// Makes the row with this number.
    Made { key: String, number: usize },
    /// Is true if the row is the one with this number.
    Seen { key: String, number: usize },
}

/// Makes one of its rows, or panics if the row is another one.
struct Edges {
    edges: Vec<Edge>,
}

impl Fold for Edges {
    type Event = EdgeEvent;
    type Key = String;
    type State = Edge;

    fn name(&self) -> &str {
        "journal"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        Edge::table()
    }
    fn key(&self, event: Recorded<'_, EdgeEvent>) -> Option<String> {
        let (EdgeEvent::Made { key, .. } | EdgeEvent::Seen { key, .. }) = event.event;
        Some(key.clone())
    }
    fn fold(&self, row: Option<Edge>, event: Recorded<'_, EdgeEvent>) -> Option<Edge> {
        match event.event {
            EdgeEvent::Made { number, .. } => Some(self.edges[*number].clone()),
            EdgeEvent::Seen { number, .. } => {
                assert_eq!(row.as_ref(), Some(&self.edges[*number]), "the row is another one");
                row
            }
        }
    }
}

fn event(kind: &str, key: &str, number: usize) -> String {
    serde_json::json!({"type": kind, "key": key, "number": number}).to_string()
}

fn bench<S: Subject>(
    log: &Arc<ChangingLog>,
    subject: &Arc<S>,
    edges: Vec<Edge>,
    settings: Settings,
) -> Bench<S> {
    let mut projector = Projector::new(log.clone());
    projector.fold(Edges { edges }, subject.database(), settings).unwrap();
    Bench { log: log.clone(), subject: subject.clone(), running: projector.start() }
}

fn patient() -> Settings {
    parking(Parking { retry_after_min: LONG * 100, retry_after_max: LONG * 100, ..Parking::default() })
}

/// A row of each type comes back as it was, at the edges of each type: when it is new, and when it replaces another.
pub async fn every_value_comes_back_as_it_was<S: Subject>() {
    let (log, subject, count) = (ChangingLog::new(), fresh::<S>().await, edges().len());
    let keys: Vec<String> = (0..count).map(|number| format!("'k\\{number}\t🦀")).collect();
    for (number, key) in keys.iter().enumerate() {
        log.append(&format!("s{number}"), &event("made", key, number)).await;
    }
    let batch = Settings { batch_changesets_max: 7, span_changesets_max: 7, ..settings() };
    let first = bench(&log, &subject, edges(), batch);
    first.caught_up().await;
    first.close().await;
    for (number, key) in keys.iter().enumerate() {
        log.append(&format!("s{number}"), &event("seen", key, number)).await;
        log.append(&format!("s{number}"), &event("made", key, (number + 1) % count)).await;
    }
    let second = bench(&log, &subject, edges(), Settings { batch_changesets_max: 6, ..batch });
    second.caught_up().await;
    second.close().await;
    for (number, key) in keys.iter().enumerate() {
        log.append(&format!("s{number}"), &event("seen", key, (number + 1) % count)).await;
    }
    let third = bench(&log, &subject, edges(), batch);
    third.caught_up().await;
    for key in &keys {
        let explained = third.handle().explain("journal", Explain::key(key)).await.unwrap();
        assert!(explained.is_stored, "{explained:#?}");
    }
    third.close().await;
}

/// Keys at the edges of their types name the same rows after a restart.
pub async fn a_key_names_the_same_row_at_the_edges<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let whole = [i64::MIN, -1, 0, (1 << 53) + 1, i64::MAX].map(|number| number.to_string());
    let ids = [Uuid::nil(), Uuid::from_u128(u128::MAX)].map(|id| id.to_string());
    let long = ["x".repeat(1_000), "\\N".to_owned(), "ünï'🦀".to_owned()];
    let kinds =
        [(ColumnType::BigInt, &whole[..]), (ColumnType::Uuid, &ids[..]), (ColumnType::Text, &long[..])];
    for (version, (ty, keys)) in (1..).zip(kinds) {
        let mut table = counted();
        table.key.ty = ty;
        log.exchange(ees_store::memory::Store::new());
        for _ in 0..2 {
            for key in keys {
                log.append(key, "{}").await;
            }
            let bench = told(&log, &subject, version, table.clone());
            bench.handle().rebuild("journal", "another log").await.ok();
            bench.caught_up().await;
            bench.close().await;
        }
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let rows = super::typed_rows::rows(&subject, "journal", &table, &names).await;
        let twice = Some(vec![2.into(), None::<&str>.into()]);
        assert!(rows.iter().all(|row| *row == twice), "{rows:?}");
    }
}

/// What one database keeps and another one can't is kept exactly, or refused: the error names the event and the column,
/// and the stream waits.
pub async fn what_a_database_can_not_keep_is_refused_by_event_and_column<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let nul = "a\0b".to_owned();
    let cases = [
        ("text", "k1", Edge { text: nul.clone(), ..plain() }),
        ("letter", "k2", Edge { letter: '\0', ..plain() }),
        ("note", "k3", Edge { note: Some(nul.clone()), ..plain() }),
        ("texts", "k4", Edge { texts: vec!["a".to_owned(), nul], ..plain() }),
        ("part", "k5", Edge { part: f64::MAX, ..plain() }),
        ("part", "k6", Edge { part: 5e-324, ..plain() }),
        ("text", "k7", Edge { text: "0123456789".repeat(50_000), ..plain() }),
        ("key", "k\0", plain()),
        ("key", "", plain()),
    ];
    for (number, (_, key, _)) in cases.iter().enumerate() {
        log.append(&format!("s{number}"), &event("made", key, number)).await;
    }
    let states: Vec<Edge> = cases.iter().map(|(.., state)| state.clone()).collect();
    let first = bench(&log, &subject, states.clone(), patient());
    first.caught_up().await;
    first.close().await;
    for (number, (_, key, _)) in cases.iter().enumerate() {
        log.append(&format!("s{number}"), &event("seen", key, number)).await;
    }
    let second = bench(&log, &subject, states, patient());
    second.caught_up().await;
    for (_, key, _) in &cases {
        match second.handle().explain("journal", Explain::key(*key)).await {
            Ok(explained) => assert!(explained.is_stored, "{explained:#?}"),
            Err(OperateError::Failed(why)) => assert!(why.contains("column edges.key: "), "{why}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    for parked in second.handle().parked("journal").await.unwrap() {
        let (stream, error) = (parked.stream_id.as_str(), &parked.error);
        let (column, ..) = cases[stream[1..].parse::<usize>().unwrap()];
        for part in [format!("event 1 (changeset 1 of stream {stream})"), format!("column edges.{column}: ")]
        {
            assert!(error.contains(&part), "{error} does not name {part}");
        }
    }
    second.close().await;
}

/// A row in a form that serde writes, and no column holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "unfit", key = "key")]
struct Unfit {
    part: f64,
    large: u64,
    #[read_model(json)]
    list: Vec<f64>,
    #[read_model(json)]
    maybe: Option<Option<i64>>,
    #[read_model(column = "text")]
    doubt: Option<Option<String>>,
    #[read_model(column = "timestamp")]
    at: Option<String>,
    #[read_model(column = "uuid")]
    id: Option<String>,
    #[read_model(column = "decimal")]
    price: Option<String>,
    #[read_model(jsonb)]
    json: Vec<String>,
    parts: Vec<f64>,
}

#[derive(Deserialize)]
struct Number {
    number: usize,
}

struct Unfits;

fn unfits() -> Vec<(&'static str, Unfit)> {
    let (some, plain) = (|text: &str| Some(text.to_owned()), Unfit::default);
    vec![
        ("part", Unfit { part: f64::NAN, ..plain() }),
        ("part", Unfit { part: f64::INFINITY, ..plain() }),
        ("large", Unfit { large: 1 << 63, ..plain() }),
        ("list", Unfit { list: vec![0.0, f64::NAN], ..plain() }),
        ("maybe", Unfit { maybe: Some(None), ..plain() }),
        ("doubt", Unfit { doubt: Some(None), ..plain() }),
        ("at", Unfit { at: some("2026-11-21T09:30:00.0000001Z"), ..plain() }),
        ("at", Unfit { at: some("2026-11-21T09:30:00+02:00"), ..plain() }),
        ("id", Unfit { id: some("67E55044-10B1-426F-9247-BB680E5FE0C8"), ..plain() }),
        ("price", Unfit { price: some("1e5"), ..plain() }),
        ("price", Unfit { price: some("NaN"), ..plain() }),
        ("json", Unfit { json: vec!["\0".to_owned()], ..plain() }),
        ("parts", Unfit { parts: vec![f64::NEG_INFINITY], ..plain() }),
    ]
}

impl Fold for Unfits {
    type Event = Number;
    type Key = String;
    type State = Unfit;

    fn name(&self) -> &str {
        "journal"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        Unfit::table()
    }
    fn key(&self, event: Recorded<'_, Number>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Unfit>, event: Recorded<'_, Number>) -> Option<Unfit> {
        match unfits().into_iter().nth(event.event.number) {
            Some((_, unfit)) => Some(unfit),
            None => row.or_else(|| Some(Unfit::default())),
        }
    }
}

/// The first event is fine, the second makes the row what no column holds, and the third changes nothing.
async fn three_events(log: &ChangingLog, stream: &str, number: usize) {
    let events = format!(r#"[{{"number":99}},{{"number":{number}}},{{"number":99}}]"#);
    let commit =
        Commit::new(stream.parse().unwrap(), Expectation::NewStream, Events::parse(&events).unwrap());
    log.store().commit(commit).await.unwrap();
}

/// What no column holds is refused on every database: the error names the event that made it and the column, and the
/// stream waits or the projection pauses, as the policy says.
pub async fn what_no_column_holds_is_refused_by_event_and_column<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for number in 0..unfits().len() {
        three_events(&log, &format!("s{number}"), number).await;
    }
    log.append("good", r#"{"number":99}"#).await;
    let mut projector = Projector::new(log.clone());
    projector.fold(Unfits, subject.database(), patient()).unwrap();
    let running = projector.start();
    let head = log.head().await.unwrap().checkpoint;
    running.handle().when_reached("journal", head, LONG).await.unwrap();
    let parked = running.handle().parked("journal").await.unwrap();
    let errors: BTreeMap<String, String> =
        parked.into_iter().map(|parked| (parked.stream_id.to_string(), parked.error)).collect();
    for (number, (column, _)) in unfits().into_iter().enumerate() {
        let stream = format!("s{number}");
        let error = errors.get(&stream).map_or("", String::as_str);
        let expected = format!("event 2 (changeset 1 of stream {stream}): column unfit.{column}: ");
        assert!(error.starts_with(&expected), "{error:?} instead of {expected:?}");
    }
    assert_eq!(errors.len(), unfits().len());
    running.shut_down().await;

    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    three_events(&log, "s", 0).await;
    let mut projector = Projector::new(log.clone());
    projector.fold(Unfits, subject.database(), settings()).unwrap();
    let bench = Bench { log, subject, running: projector.start() };
    let reason = bench.paused().await.pause.unwrap().reason;
    assert_eq!(reason, "event 2 (changeset 1 of stream s): column unfit.part: NaN is no number");
    bench.close().await;
}

/// Counts its events, in a table that is told to it.
#[derive(Clone)]
struct Told {
    version: u32,
    table: Table,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    events: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
}

#[derive(Deserialize)]
struct Tick {
    parent: Option<String>,
    newest: Option<String>,
}

impl Fold for Told {
    type Event = Tick;
    type Key = String;
    type State = Counted;

    fn name(&self) -> &str {
        "journal"
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        self.table.clone()
    }
    fn key(&self, event: Recorded<'_, Tick>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Counted>, event: Recorded<'_, Tick>) -> Option<Counted> {
        let Counted { events, parent, newest } = row.unwrap_or_default();
        let Tick { parent: given, newest: now } = event.event;
        Some(Counted { events: events + 1, parent: given.clone().or(parent), newest: now.clone().or(newest) })
    }
}

fn counted() -> Table {
    Table::new("counted", Column::new("key", ColumnType::Text))
        .with_column(Column::new("events", ColumnType::BigInt))
        .with_column(Column::new("parent", ColumnType::Text).nullable())
}

fn told<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, version: u32, table: Table) -> Bench<S> {
    let mut projector = Projector::new(log.clone());
    projector.fold(Told { version, table }, subject.database(), settings()).unwrap();
    Bench { log: log.clone(), subject: subject.clone(), running: projector.start() }
}

/// A program whose table is not the one in the database stops, unless its version is higher. The message names what
/// differs, and says what to do. On a database whose tables have no columns, nothing differs.
pub async fn a_table_that_is_not_the_one_of_the_program_stops_it<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("a", "{}").await;
    let first = told(&log, &subject, 1, counted());
    first.caught_up().await;
    first.close().await;
    let again = told(&log, &subject, 1, counted());
    log.append("a", "{}").await;
    again.caught_up().await;
    again.close().await;

    let with = |change: &dyn Fn(&mut Table)| {
        let mut table = counted();
        change(&mut table);
        table
    };
    let newest = |ty| Column::new("newest", ty).nullable();
    let others = [
        (with(&|table| table.columns.push(newest(ColumnType::Text))), "column counted.newest"),
        (with(&|table| table.columns.truncate(1)), "column counted.parent"),
        (with(&|table| table.columns[1].ty = ColumnType::Double), "column counted.parent"),
        (with(&|table| table.columns[0].nullable = true), "column counted.events"),
        (with(&|table| table.columns[1].nullable = false), "column counted.parent"),
        (with(&|table| table.columns[1] = table.columns[1].clone().one_of(["a"])), "IN ('a')"),
        (with(&|table| table.checks.push("events > 0".into())), "CHECK (events > 0)"),
        (with(&|table| table.name = "other".into()), "table other"),
    ];
    for (table, named) in &others {
        if !S::CAPABILITIES.columns {
            break;
        }
        let other = told(&log, &subject, 1, table.clone());
        let status = other.status_when(|status| status.state == State::Stopped).await;
        let error = status.last_error.map(|failure| failure.message).unwrap_or_default();
        for part in [named, "Raise the version"] {
            assert!(error.contains(part), "{error} does not contain {part}");
        }
        other.close().await;
    }
    if S::CAPABILITIES.columns {
        // The one that fits goes on where it was.
        log.append("a", "{}").await;
        let same = told(&log, &subject, 1, counted());
        same.caught_up().await;
        same.close().await;
        let newer = told(&log, &subject, 2, others[0].0.clone());
        newer.caught_up().await;
        newer.close().await;
        // An operator may rebuild it with the version that it has.
        let other = told(&log, &subject, 2, others[5].0.clone());
        other.status_when(|status| status.state == State::Stopped).await;
        other.handle().rebuild("journal", "the table is another one").await.unwrap();
        other.caught_up().await;
        other.close().await;
    }
}

/// A column that is said to be added needs no rebuild: the rows that there are have no value in it.
pub async fn an_added_column_needs_no_rebuild<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for stream in ["a", "b"] {
        log.append(stream, "{}").await;
    }
    let first = told(&log, &subject, 1, counted());
    first.caught_up().await;
    first.close().await;
    let added = Column::new("newest", ColumnType::Text).nullable().one_of(["yes", "no"]).added();
    let second = told(&log, &subject, 1, counted().with_column(added.clone()));
    log.append("a", r#"{"newest":"yes"}"#).await;
    second.caught_up().await;
    let audit = second.handle().audit("journal", 10).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.detail.as_str())).collect();
    let expected: &[(&str, &str)] =
        if S::CAPABILITIES.columns { &[("add_columns", "counted.newest")] } else { &[] };
    assert_eq!(actions, expected);
    second.close().await;
    let third = told(&log, &subject, 1, counted().with_column(added));
    log.append("a", "{}").await;
    log.append("b", "{}").await;
    third.caught_up().await;
    third.close().await;
    let table = counted().with_column(Column::new("newest", ColumnType::Text).nullable());
    let rows = super::typed_rows::rows(&subject, "journal", &table, &["a", "b"]).await;
    let row =
        |events: i64, newest: Option<&str>| Some(vec![events.into(), None::<&str>.into(), newest.into()]);
    assert_eq!(rows, [row(3, Some("yes")), row(2, None)]);
    if S::CAPABILITIES.columns {
        // A program that does not know the column would leave old values in it.
        let older = told(&log, &subject, 1, counted());
        older.status_when(|status| status.state == State::Stopped).await;
        older.close().await;
    }
}

/// What is built anew has an added column where the program has it. That is no difference to the live read model, which
/// has it at the end. A standby and a copy that were built before get the column too.
pub async fn an_added_column_is_no_difference_to_a_rebuild<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for stream in ["a", "b"] {
        log.append(stream, "{}").await;
    }
    let first = told(&log, &subject, 1, counted());
    first.caught_up().await;
    if S::CAPABILITIES.side_by_side {
        let plan = SideBySide::default();
        first.handle().rebuild_side_by_side("journal", plan, "to have a standby").await.unwrap();
        let is_swapped = |role| role == Some(StandbyRole::Following);
        first.status_when(|status| is_swapped(status.standby.as_ref().map(|it| it.plan.role))).await;
    }
    let copy = AsOf { checkpoint: Checkpoint::new(2), into: "journal_then".to_owned() };
    if S::Database::COPIES {
        first.handle().as_of("journal", copy.clone()).await.unwrap();
    }
    first.close().await;

    let mut table = counted();
    table.columns.insert(1, Column::new("newest", ColumnType::Text).nullable().added());
    let second = told(&log, &subject, 1, table.clone());
    log.append("a", r#"{"newest":"yes"}"#).await;
    second.caught_up().await;
    let row =
        |events: i64, newest: Option<&str>| Some(vec![events.into(), newest.into(), None::<&str>.into()]);
    if S::CAPABILITIES.side_by_side {
        assert!(second.handle().verify("journal").await.unwrap().is_equal());
        second.handle().rollback("journal", false, "the standby has it too").await.unwrap();
        log.append("b", r#"{"newest":"no"}"#).await;
        second.caught_up().await;
        assert!(second.handle().verify("journal").await.unwrap().is_equal());
        let rows = super::typed_rows::rows(&subject, "journal", &table, &["a", "b"]).await;
        assert_eq!(rows, [row(2, Some("yes")), row(2, Some("no"))]);
    }
    if S::Database::COPIES {
        second.handle().as_of("journal", copy.clone()).await.unwrap();
        let copied = subject.database().copy_of(&ReadModelId::live("journal"), &copy.into, false).await;
        let (database, model) = copied.unwrap();
        let mut tx = database.begin().await.unwrap();
        let state = tx.load(&model).await.unwrap().unwrap();
        assert!(tx.replace(&model, state.position, &state).await.unwrap());
        assert_eq!(tx.load_rows(&table, &["a", "b"]).await.unwrap(), [row(1, None), row(1, None)]);
        drop((tx, database));
        second.handle().drop_as_of("journal", &copy.into).await.unwrap();
    }
    second.close().await;
}

/// Two tables of one projection. The second one refers to the first.
fn both<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, counted: Table, referring: Table) -> Bench<S> {
    let stage = |table| Told { version: 1, table };
    let both = Composite::new("journal").stage(stage(counted)).stage(stage(referring));
    let mut projector = Projector::new(log.clone());
    projector.fold(both, subject.database(), settings()).unwrap();
    Bench { log: log.clone(), subject: subject.clone(), running: projector.start() }
}

/// Each table of a composite is compared, with its foreign keys, and gets the columns that are added to it.
pub async fn each_table_of_a_composite_is_compared<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let second = || {
        let mut table = counted();
        table.name = "second".into();
        table
    };
    let referring = || second().with_reference("parent", "counted");
    log.append("a", "{}").await;
    log.append("b", r#"{"parent":"a"}"#).await;
    let first = both(&log, &subject, counted(), referring());
    first.caught_up().await;
    first.close().await;
    // The key may be named.
    let same = both(&log, &subject, counted(), second().with_reference("parent", "counted(key)"));
    log.append("a", "{}").await;
    same.caught_up().await;
    same.close().await;

    let newest = Column::new("newest", ColumnType::Text).nullable();
    let mut third = referring();
    third.name = "third".into();
    let others = [
        (counted(), second(), "the program does not have the constraint ees_parent_"),
        (counted(), referring().with_reference("key", "counted"), "FOREIGN KEY (\"key\") REFERENCES"),
        (counted(), referring().with_column(newest.clone()), "column second.newest"),
        (counted().with_check("events > 0"), referring(), "CHECK (events > 0)"),
        // Nothing is added where the other table differs.
        (
            counted().with_column(newest.clone()),
            referring().with_column(newest.clone().added()),
            "counted.newest",
        ),
        (counted(), third, "there is no table third"),
    ];
    for (counted, referring, named) in others {
        if !S::CAPABILITIES.columns {
            break;
        }
        let other = both(&log, &subject, counted, referring);
        let status = other.status_when(|status| status.state == State::Stopped).await;
        let error = status.last_error.map(|failure| failure.message).unwrap_or_default();
        assert!(error.contains(named), "{error} does not contain {named}");
        other.close().await;
    }

    let added = newest.added();
    let more = both(
        &log,
        &subject,
        counted().with_column(added.clone()),
        referring().with_column(added).with_reference("newest", "counted"),
    );
    log.append("a", r#"{"newest":"b"}"#).await;
    more.caught_up().await;
    if S::CAPABILITIES.columns {
        let audit = more.handle().audit("journal", 1).await.unwrap();
        assert_eq!(audit[0].detail, "counted.newest, second.newest");
    }
    if S::CAPABILITIES.foreign_keys {
        let orphan = log.append("b", r#"{"newest":"nobody"}"#).await;
        let pause = more.paused().await.pause.unwrap();
        assert_eq!(pause.failure.unwrap().checkpoint, orphan);
        for part in ["table second: ", "FOREIGN KEY"] {
            assert!(pause.reason.contains(part), "{} does not contain {part}", pause.reason);
        }
    }
    more.close().await;
}

/// A row that breaks a condition is refused, and the error shows the condition. A database without conditions refuses
/// the table, or does not check it.
pub async fn a_row_that_breaks_a_condition_is_refused<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("a", "{}").await;
    let bench = told(&log, &subject, 1, counted().with_check("events < 3"));
    if !S::CAPABILITIES.columns {
        let head = log.head().await.unwrap().checkpoint;
        bench.status_when(|status| status.state == State::Stopped || status.checkpoint == head).await;
        return bench.close().await;
    }
    for _ in 0..2 {
        log.append("a", "{}").await;
    }
    let pause = bench.paused().await.pause.unwrap();
    assert_eq!(pause.failure.unwrap().checkpoint.get(), 2);
    let names_it = pause.reason.contains("ees_check_") && pause.reason.contains("CHECK (events < 3)");
    assert!(names_it && pause.reason.contains("counted"), "{}", pause.reason);
    bench.close().await;
}

/// A table whose columns can't be is refused when the fold is registered.
pub async fn a_column_that_can_not_be_is_refused_at_once<S: Subject>() {
    let tables = [
        counted().with_column(Column::new("newest", ColumnType::Text).added()),
        counted().with_column(Column::new("newest", ColumnType::BigInt).one_of(["a"])),
        Table::new("counted", Column::new("key", ColumnType::Text).one_of(["a"])),
        counted().with_reference("parent", "ees_audit"),
        counted().with_reference("parent", "counted"),
        counted().with_check(" "),
    ];
    let mut projector = Projector::new(ChangingLog::new());
    let subject = fresh::<S>().await;
    for table in tables {
        let fold = Told { version: 1, table };
        assert!(projector.fold(fold.clone(), subject.database(), settings()).is_err(), "{:?}", fold.table);
    }
    let list = ColumnType::Array(Element::Text);
    let good =
        Told { version: 1, table: counted().with_column(Column::new("newest", list).nullable().added()) };
    projector.fold(good, subject.database(), settings()).unwrap();
}
