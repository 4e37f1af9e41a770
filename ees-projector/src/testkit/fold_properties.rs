//! What holds for folds whatever the log is: however it is cut into batches, whatever crashes, and in whatever order
//! independent streams come, the rows are those of the pure function.

use std::collections::BTreeMap;
use std::sync::Arc;

use ees_store::ChangesetLog;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accidents::{Disturbance, Mishap, run_with_accidents};
use super::given::{Given, given, sqlite_database};
use crate::folded::Folded;
use crate::{Fold, Order, ReadModel, Recorded, Table, sqlite};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Moved { account: u8, amount: i64 },
    Closed { account: u8 },
}

/// What a row has seen: another order gives another `trail`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "accounts", key = "account")]
struct Account {
    moves: i64,
    trail: i64,
    last_of: Option<String>,
}

impl Account {
    fn after(row: Option<Self>, stream: &str, event: &Event) -> Option<Self> {
        let Event::Moved { amount, .. } = event else { return None };
        let row = row.unwrap_or_default();
        let trail = row.trail.wrapping_mul(31).wrapping_add(*amount);
        Some(Self { moves: row.moves + 1, trail, last_of: Some(stream.to_owned()) })
    }
}

/// Keeps its rows as documents or in columns, and has accounts that all streams share, or of each stream.
#[derive(Clone, Copy, Debug)]
struct Accounts {
    has_columns: bool,
    order: Order,
}

impl Accounts {
    fn key(self, stream: &str, event: &Event) -> String {
        let (Event::Moved { account, .. } | Event::Closed { account }) = event;
        match self.order {
            Order::Stream => format!("{stream}/{account}"),
            Order::Log => account.to_string(),
        }
    }
}

impl Fold for Accounts {
    type Event = Event;
    type Key = String;
    type State = Account;

    fn name(&self) -> &str {
        "accounts"
    }
    fn table(&self) -> Table {
        if self.has_columns { Account::table() } else { Table::document("accounts") }
    }
    fn order(&self) -> Order {
        self.order
    }
    fn key(&self, event: Recorded<'_, Event>) -> Option<String> {
        Some(Self::key(*self, event.stream_id().as_str(), event.event))
    }
    fn fold(&self, row: Option<Account>, event: Recorded<'_, Event>) -> Option<Account> {
        Account::after(row, event.stream_id().as_str(), event.event)
    }
}

/// Changesets: a stream, and events of this fold or of others.
type History = Vec<(usize, Vec<Option<Event>>)>;
type Rows = BTreeMap<String, Account>;

const STREAMS: [&str; 4] = ["a", "b/c", "ä", "d"];

fn history() -> impl Strategy<Value = History> {
    let event = prop_oneof![
        8 => (0..3_u8, -50..50_i64).prop_map(|(account, amount)| Some(Event::Moved { account, amount })),
        1 => (0..3_u8).prop_map(|account| Some(Event::Closed { account })),
        1 => Just(None),
    ];
    vec((0..STREAMS.len(), vec(event, 1..4)), 0..30)
}

fn accounts(order: Order) -> impl Strategy<Value = Accounts> {
    any::<bool>().prop_map(move |has_columns| Accounts { has_columns, order })
}

fn disturbances() -> impl Strategy<Value = Vec<Disturbance>> {
    let mishap = prop_oneof![
        Just(Mishap::Nothing),
        Just(Mishap::CrashAfterCommit),
        (0..8_usize).prop_map(Mishap::CrashAfterEvents),
        (0..8_usize).prop_map(Mishap::ErrorAfterEvents),
    ];
    let disturbance = (any::<bool>(), 1..8_usize, 1..30_usize, mishap).prop_map(
        |(is_of_new_process, batch_changesets_max, span_changesets_max, mishap)| Disturbance {
            is_of_new_process,
            batch_changesets_max,
            span_changesets_max,
            mishap,
        },
    );
    vec(disturbance, 0..20)
}

const CALM: Disturbance = Disturbance {
    is_of_new_process: false,
    batch_changesets_max: 100,
    span_changesets_max: 100,
    mishap: Mishap::Nothing,
};

/// The rows by the pure function alone.
fn expected(accounts: Accounts, history: &History) -> Rows {
    let mut rows = Rows::new();
    for (stream, events) in history {
        for event in events.iter().flatten() {
            let key = accounts.key(STREAMS[*stream], event);
            let before = rows.remove(&key);
            rows.extend(Account::after(before, STREAMS[*stream], event).map(|row| (key, row)));
        }
    }
    rows
}

/// The rows by the engine, with these disturbances of its first steps.
async fn rows(accounts: Accounts, history: &History, disturbances: &[Disturbance]) -> Rows {
    let (_folder, database) = sqlite_database();
    let log = log(history).await;
    let mut disturbances = disturbances.iter().copied();
    let next = || disturbances.next().unwrap_or(CALM);
    run_with_accidents(&log, &|| Folded::new(accounts), &database, next).await;
    stored(accounts, &database).await
}

async fn log(history: &History) -> Arc<dyn ChangesetLog> {
    let foreign = || json!({"type": "shipped"});
    let value = |event: &Option<Event>| event.as_ref().map_or_else(foreign, |event| json!(event));
    let add = |given: Given, (stream, events): &(usize, Vec<Option<Event>>)| {
        given.and(STREAMS[*stream], events.iter().map(value))
    };
    let none: [(&str, Value); 0] = [];
    history.iter().fold(given(none), add).log().await
}

async fn stored(accounts: Accounts, database: &sqlite::Database) -> Rows {
    let read = move |connection: &rusqlite::Connection| {
        let sql = match accounts.has_columns {
            true => "SELECT account, moves, trail, last_of FROM accounts",
            false => "SELECT key, state ->> 'moves', state ->> 'trail', state ->> 'last_of' FROM accounts",
        };
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, Account { moves: row.get(1)?, trail: row.get(2)?, last_of: row.get(3)? }))
        })?;
        rows.collect::<rusqlite::Result<Rows>>()
    };
    database.read(read).await.unwrap()
}

/// Many small cases, the same ones in each run unless the variables of `proptest` say otherwise.
fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(&tokio::runtime::Runtime, S::Value)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config =
        Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..Config::default() };
    let tested = TestRunner::new(config).run(strategy, |value| {
        test(&runtime, value);
        Ok(())
    });
    if let Err(failed) = tested {
        panic!("{failed}");
    }
}

#[test]
fn however_a_log_is_cut_and_whatever_crashes_the_rows_are_those_of_the_fold() {
    let accounts = prop_oneof![accounts(Order::Log), accounts(Order::Stream)];
    check(100, &(accounts, history(), disturbances()), |runtime, (accounts, history, disturbances)| {
        let found = runtime.block_on(rows(accounts, &history, &disturbances));
        assert_eq!(found, expected(accounts, &history));
    });
}

#[test]
fn in_whatever_order_streams_come_the_rows_are_the_same_where_order_stream_is_declared() {
    let case = (accounts(Order::Stream), history(), vec(any::<usize>(), 30), disturbances());
    check(100, &case, |runtime, (accounts, history, choices, disturbances)| {
        let other = interleaved(&history, &choices);
        let found = runtime.block_on(rows(accounts, &other, &disturbances));
        assert_eq!(found, expected(accounts, &history));
    });
}

#[test]
fn where_streams_share_rows_their_order_matters() {
    let accounts = Accounts { has_columns: false, order: Order::Log };
    let moved = |amount| vec![Some(Event::Moved { account: 0, amount })];
    let history: History = vec![(0, moved(1)), (1, moved(2))];
    assert_ne!(expected(accounts, &history), expected(accounts, &interleaved(&history, &[1, 0])));
}

/// The same streams in another order, each of them in its own.
fn interleaved(history: &History, choices: &[usize]) -> History {
    let mut left = history.clone();
    let mut order = History::new();
    let mut choices = choices.iter().cycle();
    while !left.is_empty() {
        let choice = choices.next().copied().unwrap_or(0) % left.len();
        let stream = left[choice].0;
        let first = left.iter().position(|(other, _)| *other == stream).unwrap_or(0);
        order.push(left.remove(first));
    }
    order
}
