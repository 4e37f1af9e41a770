//! A running hash of the rows of a read model.
//!
//! It is the sum of the hashes of all rows, so the order of the rows does not matter, and a batch changes it by
//! what it knows: the hashes of the rows before it and after it.

use std::fmt::{self, Display, Write};
use std::str::FromStr;

use ees_store::Checkpoint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::XxHash3_128;

use crate::read_model::{Change, ColumnType, Row, Table, Value};

/// The sum of the hashes (XXH3, 128 bits) of a read model's rows, modulo 2^128. Two read models with the same rows
/// have the same fingerprint, on whatever database; others have another one, except by a chance of 1 in 2^128.
///
/// It finds mistakes, and not attacks: it is possible to make rows on purpose that have the fingerprint of others.
///
/// As text it has 32 digits from `0` to `f`. A projection keeps it if
/// [`Settings::fingerprint`](crate::Settings::fingerprint) says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// The sum of two: of disjoint rows, or of a fingerprint and a change of it.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

/// Takes the fingerprints of single rows of a table.
pub(crate) struct RowHasher<'t> {
    table: &'t Table,
    /// What is hashed: the name of the table, and after it the row.
    bytes: Vec<u8>,
    name_length: usize,
}

impl<'t> RowHasher<'t> {
    pub(crate) fn new(table: &'t Table) -> Self {
        let mut bytes = Vec::with_capacity(256);
        part(&mut bytes, b't', table.name.as_bytes());
        Self { table, name_length: bytes.len(), bytes }
    }

    /// By how much this change changes the fingerprint.
    pub(crate) fn change(&mut self, Change { key, before, row }: &Change) -> Fingerprint {
        let mut of = |row: &Option<Row>| row.as_ref().map_or(0, |row| self.hash(key, row).0);
        Fingerprint(of(row).wrapping_sub(of(before)))
    }

    pub(crate) fn hash(&mut self, key: &str, row: &[Value]) -> Fingerprint {
        let bytes = &mut self.bytes;
        bytes.truncate(self.name_length);
        part(bytes, b'k', key.as_bytes());
        for (column, value) in self.table.columns.iter().zip(row) {
            // A column that is added without a rebuild is NULL in each row, and must not change the fingerprint.
            if *value == Value::Null {
                continue;
            }
            part(bytes, b'c', column.name.as_bytes());
            match value {
                Value::Null => {}
                Value::Bool(truth) => part(bytes, b'b', &[u8::from(*truth)]),
                Value::Int(number) => part(bytes, b'i', &number.to_be_bytes()),
                // Some databases have one zero.
                Value::Float(number) => part(bytes, b'f', &(number + 0.0).to_bits().to_be_bytes()),
                Value::Text(text) => part(bytes, b's', text.as_bytes()),
                Value::Json(text) if column.ty == ColumnType::Jsonb => {
                    part(bytes, b'j', &canonical_json(text));
                }
                Value::Json(text) => part(bytes, b'j', text.as_bytes()),
            }
        }
        Fingerprint(XxHash3_128::oneshot(bytes))
    }
}

/// What a transaction that changes no rows does to the fingerprint: nothing.
impl From<()> for Fingerprint {
    fn from((): ()) -> Self {
        Self::default()
    }
}

/// Appends a part of a row so that no two rows are the same bytes.
fn part(bytes: &mut Vec<u8>, kind: u8, content: &[u8]) {
    bytes.push(kind);
    bytes.extend_from_slice(&(content.len() as u64).to_be_bytes());
    bytes.extend_from_slice(content);
}

/// A JSON text in the one form that all texts have which `jsonb` of PostgreSQL may give back for it.
fn canonical_json(text: &str) -> Vec<u8> {
    match serde_json::from_str(text) {
        Ok(value) => {
            let mut canonical = String::with_capacity(text.len());
            write_json(&value, &mut canonical);
            canonical.into_bytes()
        }
        // Deeper than serde_json reads. The database keeps what the program wrote.
        Err(_) => text.as_bytes().to_vec(),
    }
}

fn write_json(value: &serde_json::Value, into: &mut String) {
    use serde_json::Value as Json;
    match value {
        Json::Number(number) => write_number(&number.to_string(), into),
        Json::Array(values) => {
            into.push('[');
            for value in values {
                write_json(value, into);
                into.push(',');
            }
            into.push(']');
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            into.push('{');
            for (name, value) in members {
                // Writing to a `String` can't fail.
                let _ = write!(into, "{name:?}:");
                write_json(value, into);
                into.push(',');
            }
            into.push('}');
        }
        Json::String(text) => {
            let _ = write!(into, "{text:?}");
        }
        Json::Null | Json::Bool(_) => into.push_str(&value.to_string()),
    }
}

/// A number as its digits and a power of ten. `jsonb` writes `1e16` as `10000000000000000`.
fn write_number(text: &str, into: &mut String) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (digits, power) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    if short.is_empty() {
        into.push('0');
        return;
    }
    let power: i64 = power.parse().unwrap_or_default();
    let zeros = (digits.len() - short.len()) as i64;
    let power = power - fraction.len() as i64 + zeros;
    let sign = if text.starts_with('-') { "-" } else { "" };
    let _ = write!(into, "{sign}{short}e{power}");
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text is not a [`Fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fingerprint, which has 32 digits from 0 to f")]
pub struct InvalidFingerprint(String);

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let invalid = || InvalidFingerprint(text.to_owned());
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(invalid());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| invalid())
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a quick verification found: the fingerprint that the projection keeps, and that of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct FingerprintCheck {
    /// The checkpoint that the projection reads next. `null` while partitions of it are at different ones: then the
    /// fingerprint is that of no checkpoint, and can't be compared with that of another copy.
    #[cfg_attr(feature = "http", schema(value_type = Option<u64>))]
    pub checkpoint: Option<Checkpoint>,
    /// The number of rows, in all tables.
    pub rows: u64,
    /// The fingerprint that the projection keeps: 32 digits from 0 to f.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub kept: Fingerprint,
    /// The fingerprint of the rows that the tables have. If it is another one, somebody else has changed the tables.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub found: Fingerprint,
}

impl FingerprintCheck {
    /// Returns `true` if the tables have the rows that the projection has written, and no others.
    pub fn is_equal(&self) -> bool {
        self.kept == self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_model::Column;

    fn table() -> Table {
        Table::new("t", Column::new("id", ColumnType::Text))
            .with_column(Column::new("a", ColumnType::Text).nullable())
            .with_column(Column::new("b", ColumnType::Jsonb).nullable())
    }

    fn of(key: &str, a: Option<&str>, b: Option<&str>) -> Fingerprint {
        let b = b.map_or(Value::Null, |text| Value::Json(text.to_owned()));
        RowHasher::new(&table()).hash(key, &[a.into(), b])
    }

    #[test]
    fn texts_that_jsonb_gives_back_for_each_other_have_one_fingerprint() {
        for (one, other) in [
            (r#"{"b":1,"a":[true,null]}"#, r#"{"a": [true, null], "b": 1}"#),
            (r#""\u00e9""#, r#""é""#),
            ("1e16", "10000000000000000"),
            ("1.2345678901234567e19", "12345678901234567000"),
            ("1e20", "100000000000000000000"),
            ("1.50", "1.5"),
            ("-0.0", "0.0"),
            ("1e-7", "0.0000001"),
        ] {
            assert_eq!(of("k", None, Some(one)), of("k", None, Some(other)), "{one} {other}");
        }
        for (one, other) in [("1", "10"), ("1", "-1"), ("0.1", "0.01"), ("[1,2]", "[12]"), (r#""1""#, "1")] {
            assert_ne!(of("k", None, Some(one)), of("k", None, Some(other)), "{one} {other}");
        }
    }

    #[test]
    fn rows_that_differ_have_different_fingerprints() {
        let rows = [
            of("k", None, None),
            of("k", Some(""), None),
            of("k", Some("1"), None),
            of("k", None, Some("1")),
            of("k", None, Some("\"1\"")),
            of("ka", None, None),
            of("", Some("k"), None),
        ];
        for (number, row) in rows.iter().enumerate() {
            assert_eq!(rows.iter().position(|other| other == row), Some(number));
        }
    }

    #[test]
    fn a_change_and_its_opposite_are_nothing() {
        let row = |a: &str| Some(vec![Value::from(a), Value::Null]);
        let change = |before, row| Change { key: "k".to_owned(), before, row };
        let changes = [change(None, row("1")), change(row("1"), row("2")), change(row("2"), None)];
        let table = table();
        let mut rows = RowHasher::new(&table);
        let mut of_changes = |changes: &[Change]| {
            changes.iter().map(|change| rows.change(change)).fold(Fingerprint::default(), Fingerprint::plus)
        };
        assert_eq!(of_changes(&changes), Fingerprint::default());
        assert_eq!(of_changes(&changes[..2]), of("k", Some("2"), None));
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let one = of("k", None, None);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!(Fingerprint(7).to_string(), "00000000000000000000000000000007");
        for wrong in ["", "7", "+0000000000000000000000000000007", "0000000000000000000000000000000G"] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
