//! Quoting and conversion of values for SQL.

use crate::read_model::Table;

/// The quoted column names, the key first.
pub(super) fn names(table: &Table) -> impl Iterator<Item = String> {
    std::iter::once(&table.key).chain(&table.columns).map(|column| quoted(&column.name))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// PostgreSQL's `text` can't hold a NUL character.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// PostgreSQL has no unsigned integers: larger counters are cut off at `i64::MAX`.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
