use std::collections::BTreeMap;
use std::fmt::Debug;

use ees_store::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Column, ColumnType, Table, Value, from_row, to_row};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: Owner,
    balance: i64,
    number: u64,
    small: i8,
    rate: f64,
    ratio: f32,
    open: bool,
    initial: char,
    status: Status,
    id: Uuid,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
    note: Option<Box<str>>,
    tags: Vec<String>,
    limits: Option<BTreeMap<String, i64>>,
    last: Movement,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Owner(String);

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
    Out { amount: i64 },
}

fn accounts() -> Table {
    use ColumnType::{BigInt, Boolean, Double, Json, Text, Uuid};
    let columns = [
        Column::new("owner", Text),
        Column::new("balance", BigInt),
        Column::new("number", BigInt),
        Column::new("small", BigInt),
        Column::new("rate", Double),
        Column::new("ratio", Double),
        Column::new("open", Boolean),
        Column::new("initial", Text),
        Column::new("status", Text),
        Column::new("id", Uuid),
        Column::new("opened_at", ColumnType::Timestamp),
        Column::new("closed_at", ColumnType::Timestamp).nullable(),
        Column::new("note", Text).nullable(),
        Column::new("tags", Json),
        Column::new("limits", Json).nullable(),
        Column::new("last", Json),
    ];
    let table = Table::new("accounts", Column::new("account_id", Text));
    columns.into_iter().fold(table, Table::with_column)
}

fn account() -> Account {
    Account {
        owner: Owner("ada".to_owned()),
        balance: -5,
        number: 7,
        small: 1,
        rate: 0.1,
        ratio: 0.1,
        open: true,
        initial: 'a',
        status: Status::ClosedForGood,
        id: Uuid::from_u128(7),
        opened_at: Timestamp::from_micros(1),
        closed_at: None,
        note: None,
        tags: vec!["new".to_owned()],
        limits: None,
        last: Movement::In(3),
    }
}

#[track_caller]
fn comes_back<S: Serialize + DeserializeOwned + PartialEq + Debug>(table: &Table, state: &S) {
    let row = to_row(table, state).unwrap();
    assert_eq!(row.len(), table.columns.len());
    assert_eq!(from_row::<S>(table, &row).unwrap(), *state, "by way of {row:?}");
}

#[test]
fn each_field_is_in_its_column() {
    let row = to_row(&accounts(), &account()).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    let json = |text: &str| Value::Json(text.to_owned());
    let expected = [
        text("ada"),
        Value::Int(-5),
        Value::Int(7),
        Value::Int(1),
        Value::Float(0.1),
        Value::Float(f64::from(0.1_f32)),
        Value::Bool(true),
        text("a"),
        text("closed_for_good"),
        text("00000000-0000-0000-0000-000000000007"),
        text("1970-01-01T00:00:00.000001Z"),
        Value::Null,
        Value::Null,
        json(r#"["new"]"#),
        Value::Null,
        json(r#"{"In":3}"#),
    ];
    assert_eq!(row, expected);
}

#[test]
fn every_state_comes_back_from_its_row() {
    let table = accounts();
    let texts = ["", "null", "\"", "\0", "a\nb", "ünï 🦀", "{\"a\":1}", "'; DROP TABLE accounts; --"];
    let ints = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let floats = [f64::MIN, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 5e-324, 0.1, 1e300, f64::MAX, f64::EPSILON];
    for text in texts {
        let owned = text.to_owned();
        let limits = Some(BTreeMap::from([(owned.clone(), 1)]));
        let note = Some(text.into());
        comes_back(&table, &Account { owner: Owner(owned.clone()), note, limits, ..account() });
        comes_back(&table, &Account { tags: vec![owned.clone(), owned], ..account() });
    }
    for number in ints {
        let last = Movement::Out { amount: number };
        let closed_at = Some(Timestamp::from_micros(number));
        let small = i8::try_from(number).unwrap_or(i8::MIN);
        let number_u64 = u64::try_from(number).unwrap_or(0);
        comes_back(
            &table,
            &Account { balance: number, small, number: number_u64, closed_at, last, ..account() },
        );
    }
    for number in floats {
        #[expect(clippy::cast_possible_truncation, reason = "any finite number will do")]
        let ratio = (number as f32).clamp(f32::MIN, f32::MAX);
        comes_back(&table, &Account { rate: number, ratio, ..account() });
    }
    let odd =
        Account {
            initial: '🦀', status: Status::Open, last: Movement::None, tags: Vec::new(), ..account()
        };
    comes_back(&table, &Account { open: false, id: Uuid::from_u128(u128::MAX), ..odd });
}

#[test]
fn a_document_takes_any_state() {
    let table = Table::document("documents");
    comes_back(&table, &account());
    comes_back(&table, &7_i64);
    comes_back(&table, &None::<String>);
    comes_back(&table, &vec![Movement::None, Movement::In(1)]);
    assert_eq!(to_row(&table, &Movement::In(3)).unwrap(), [Value::Json(r#"{"In":3}"#.to_owned())]);
}

#[test]
fn the_order_of_the_columns_does_not_matter() {
    let mut table = accounts();
    table.columns.reverse();
    comes_back(&table, &account());
}

#[test]
fn what_no_column_can_hold_is_refused_by_name() {
    let refusal = |account: &Account| to_row(&accounts(), account).unwrap_err().to_string();
    assert_eq!(
        refusal(&Account { number: 1 << 63, ..account() }),
        "column accounts.number: 9223372036854775808 is outside of what a BigInt column holds"
    );
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refusal = refusal(&Account { rate: number, ..account() });
        assert_eq!(refusal, format!("column accounts.rate: {number} is no number"));
    }
}

#[test]
fn a_state_that_does_not_fit_its_table_is_refused_by_name() {
    #[derive(Serialize)]
    struct Wrong<T> {
        amount: T,
    }
    let table = Table::new("wrong", Column::new("key", ColumnType::Text))
        .with_column(Column::new("amount", ColumnType::BigInt));
    let refusal =
        |state: &dyn Fn() -> Result<super::Row, super::row_error::RowError>| state().unwrap_err().to_string();
    assert!(
        refusal(&|| to_row(&table, &Wrong { amount: "5" }))
            .starts_with("column wrong.amount: text does not fit")
    );
    assert!(
        refusal(&|| to_row(&table, &Wrong { amount: [5] })).contains("a tuple does not fit a BigInt column")
    );
    assert!(
        refusal(&|| to_row(&table, &Wrong { amount: None::<i64> })).contains("the column is not nullable")
    );
    assert!(refusal(&|| to_row(&table, &5)).contains("the state is a number"));
    assert!(refusal(&|| to_row(&table, &account())).contains("no column for the field owner"));
}

#[test]
fn a_row_that_does_not_fit_the_state_is_refused_by_name() {
    let table = accounts();
    let mut row = to_row(&table, &account()).unwrap();
    row[3] = Value::Int(1_000);
    let error = from_row::<Account>(&table, &row).unwrap_err().to_string();
    assert_eq!(error, "column accounts.small: invalid value: integer `1000`, expected i8");
    row[3] = Value::Int(1);
    row[13] = Value::Json("[1]".to_owned());
    let error = from_row::<Account>(&table, &row).unwrap_err().to_string();
    assert!(error.starts_with("column accounts.tags: invalid type: integer"), "{error}");
}

#[test]
fn only_an_enum_without_data_is_text_by_itself() {
    #[derive(Deserialize)]
    struct Wrapped(#[expect(dead_code, reason = "only its type matters")] Status);
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Open,
    }
    #[derive(Deserialize)]
    enum Never {}
    assert_eq!(ColumnType::inferred::<Status>(), ColumnType::Text);
    assert_eq!(ColumnType::inferred::<Wrapped>(), ColumnType::Text);
    assert_eq!(ColumnType::inferred::<Box<Status>>(), ColumnType::Text);
    let others = [
        ColumnType::inferred::<Movement>(),
        ColumnType::inferred::<Tagged>(),
        ColumnType::inferred::<Never>(),
        ColumnType::inferred::<Owner>(),
        ColumnType::inferred::<Account>(),
        ColumnType::inferred::<Vec<Status>>(),
        ColumnType::inferred::<BTreeMap<String, Status>>(),
        ColumnType::inferred::<serde_json::Value>(),
        ColumnType::inferred::<&'static str>(),
        ColumnType::inferred::<()>(),
    ];
    assert_eq!(others, [ColumnType::Json; 10]);
}

#[test]
fn a_key_has_one_text() {
    let of = |ty| Table::new("keys", Column::new("key", ty));
    assert!(of(ColumnType::Text).check_key("any text").is_ok());
    let numbers = of(ColumnType::BigInt);
    for (key, fits) in
        [("7", true), ("-7", true), ("0", true), ("07", false), ("+7", false), ("-0", false), ("", false)]
    {
        assert_eq!(numbers.check_key(key).is_ok(), fits, "{key:?}");
    }
    let ids = of(ColumnType::Uuid);
    assert!(ids.check_key("00000000-0000-0000-0000-00000000000a").is_ok());
    assert!(ids.check_key("00000000-0000-0000-0000-00000000000A").is_err());
    assert!(ids.check_key("0000000000000000000000000000000a").is_err());
}

#[test]
fn a_table_that_no_database_could_have_is_refused() {
    let key = || Column::new("key", ColumnType::Text);
    let text = |name: &'static str| Column::new(name, ColumnType::Text);
    let table = || Table::new("good", key()).with_column(text("a")).with_index(["a", "key"]);
    assert_eq!(table().check(), Ok(()));
    assert_eq!(Table::document("good").check(), Ok(()));
    assert!(Table::new("Bad", key()).check().is_err());
    assert!(Table::new("ees_bad", key()).check().is_err());
    assert!(Table::new("good", Column::new("key", ColumnType::Double)).check().is_err());
    assert!(Table::new("good", key().nullable()).check().is_err());
    for name in ["a", "key", "A", "a b", "a\"b", ""] {
        assert!(table().with_column(text(name)).check().is_err(), "{name:?}");
    }
    assert!(table().with_index(["b"]).check().is_err());
    assert!(table().with_index::<&str>([]).check().is_err());
}
