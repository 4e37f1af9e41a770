//! States of folds, as rows.

use std::collections::BTreeMap;

use ees_store::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::read_model::{Column, ColumnType, Table, from_row, row_json, to_row};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    owner: String,
    balance: i64,
    number: u64,
    small: i8,
    large: u128,
    rate: Option<f64>,
    ratio: f32,
    open: bool,
    initial: char,
    status: Status,
    id: Uuid,
    opened_at: Option<Timestamp>,
    note: Option<Box<str>>,
    nested: Option<Option<i64>>,
    tags: Vec<String>,
    limits: BTreeMap<String, Option<f64>>,
    last: Movement,
    free: serde_json::Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Open,
    ClosedForGood,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Movement {
    None,
    In(i64),
    Out { amount: Option<f32> },
    Both(Box<Movement>, Option<()>),
}

/// What serde reads from JSON, and the bits of floats, which can be what JSON does not have.
#[derive(Deserialize)]
#[serde(default)]
struct Input {
    owner: String,
    balance: i64,
    number: u64,
    small: i8,
    rate: Option<u64>,
    ratio: u32,
    open: bool,
    initial: char,
    is_closed: bool,
    id: u64,
    opened_at: Option<i64>,
    note: Option<Box<str>>,
    nested: Option<i64>,
    is_nested: bool,
    tags: Vec<String>,
    limits: BTreeMap<String, Option<u64>>,
    last: Movement,
    free: serde_json::Value,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            owner: String::new(),
            balance: 0,
            number: 0,
            small: 0,
            rate: None,
            ratio: 0,
            open: false,
            initial: 'a',
            is_closed: false,
            id: 0,
            opened_at: None,
            note: None,
            nested: None,
            is_nested: false,
            tags: Vec::new(),
            limits: BTreeMap::new(),
            last: Movement::None,
            free: serde_json::Value::Null,
        }
    }
}

impl Input {
    fn state(self) -> State {
        State {
            large: u128::from(self.number) * u128::from(u64::MAX),
            owner: self.owner,
            balance: self.balance,
            number: self.number,
            small: self.small,
            rate: self.rate.map(f64::from_bits),
            ratio: f32::from_bits(self.ratio),
            open: self.open,
            initial: self.initial,
            status: if self.is_closed { Status::ClosedForGood } else { Status::Open },
            id: Uuid::from_u64_pair(self.id, self.id),
            opened_at: self.opened_at.map(Timestamp::from_micros),
            note: self.note,
            nested: self.is_nested.then_some(self.nested),
            tags: self.tags,
            limits: self.limits.into_iter().map(|(name, bits)| (name, bits.map(f64::from_bits))).collect(),
            last: self.last,
            free: self.free,
        }
    }
}

/// A state comes back from its row as it was, or it is refused. The input: what a state is made of, as JSON.
pub fn state(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Input>(data) else { return };
    let state = input.state();
    for table in [Table::document("states"), columns(ColumnType::Json), columns(ColumnType::Jsonb)] {
        let Ok(row) = to_row(&table, &state) else { continue };
        assert!(row.len() == table.columns.len() || table.is_document());
        match from_row::<State>(&table, &row) {
            Ok(read) => assert_eq!(read, state, "by way of {row:?}"),
            Err(error) => panic!("{row:?} was written, and can't be read: {error}"),
        }
        match row_json(&table, &row) {
            Ok(json) => assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}"),
            Err(error) => panic!("{row:?} can't be shown: {error}"),
        }
    }
}

fn columns(json: ColumnType) -> Table {
    use ColumnType::{BigInt, Boolean, Double, Text, Uuid};
    let columns = [
        Column::new("owner", Text),
        Column::new("balance", BigInt),
        Column::new("number", BigInt),
        Column::new("small", BigInt),
        Column::new("large", json),
        Column::new("rate", Double).nullable(),
        Column::new("ratio", Double),
        Column::new("open", Boolean),
        Column::new("initial", Text),
        Column::new("status", Text),
        Column::new("id", Uuid),
        Column::new("opened_at", ColumnType::Timestamp).nullable(),
        Column::new("note", Text).nullable(),
        Column::new("nested", json).nullable(),
        Column::new("tags", json),
        Column::new("limits", json),
        Column::new("last", json),
        Column::new("free", json),
    ];
    let table = Table::new("states", Column::new("state_id", Text));
    columns.into_iter().fold(table, Table::with_column)
}
