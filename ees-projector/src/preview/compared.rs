//! Compares the columns of two tables, and their rows as JSON.

use std::collections::{BTreeMap, BTreeSet};

use ees_store::Json;
use serde_json::value::RawValue;

use super::{
    ColumnDifference, RowDifference, RowDifferenceKind, RowDifferences, TableDifferences, TypeDifference,
};
use crate::error::BoxError;

/// The most bytes of a value that is shown. Of a longer one, its beginning is shown as text.
const VALUE_BYTES_MAX: usize = 400;

impl RowDifferences {
    /// Compares the names of the tables of two read models.
    pub(crate) fn of_tables(live: &BTreeSet<String>, new: &BTreeSet<String>) -> Self {
        Self {
            tables_only_live: live.difference(new).cloned().collect(),
            tables_only_new: new.difference(live).cloned().collect(),
            tables: Vec::new(),
        }
    }
}

impl TableDifferences {
    /// Compares the columns, given with their types, and returns the names of those that both tables have.
    pub(crate) fn compare_columns(
        &mut self,
        live: &[(String, String)],
        new: &[(String, String)],
    ) -> Vec<String> {
        let type_in = |columns: &[(String, String)], name: &str| {
            columns.iter().find(|(known, _)| known == name).map(|(_, ty)| ty.clone())
        };
        let mut common = Vec::new();
        for (column, live) in live {
            match type_in(new, column) {
                None => self.columns_only_live.push(column.clone()),
                Some(new) => {
                    common.push(column.clone());
                    if new != *live {
                        self.types.push(TypeDifference { column: column.clone(), live: live.clone(), new });
                    }
                }
            }
        }
        let added = new.iter().filter(|(column, _)| type_in(live, column).is_none());
        self.columns_only_new = added.map(|(column, _)| column.clone()).collect();
        common
    }

    /// Adds a row that may differ: as it is in the live table and in the new one, each as a JSON object.
    pub(crate) fn add(
        &mut self,
        key: String,
        live: Option<&str>,
        new: Option<&str>,
        samples_max: usize,
    ) -> Result<(), BoxError> {
        let kind = match (live, new) {
            (None, None) => return Ok(()),
            (None, Some(_)) => RowDifferenceKind::Added,
            (Some(_), None) => RowDifferenceKind::Removed,
            (Some(_), Some(_)) => RowDifferenceKind::Changed,
        };
        let (before, after) = (columns(live)?, columns(new)?);
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let differs = |name: &&&String| match (before.get(**name), after.get(**name)) {
            (Some(before), Some(after)) => !is_same(before, after),
            _ => true,
        };
        let differing: Vec<_> = names.iter().filter(differs).map(|name| (*name).clone()).collect();
        let count = match kind {
            RowDifferenceKind::Added => &mut self.added,
            RowDifferenceKind::Removed => &mut self.removed,
            // Documents with the same members in another order.
            RowDifferenceKind::Changed if differing.is_empty() => return Ok(()),
            RowDifferenceKind::Changed => &mut self.changed,
        };
        *count += 1;
        let number = usize::try_from(*count).unwrap_or(usize::MAX);
        if kind == RowDifferenceKind::Changed {
            for column in &differing {
                *self.columns.entry(column.clone()).or_default() += 1;
            }
        }
        if number <= samples_max {
            let columns = differing.into_iter().map(|column| {
                let [before, after] =
                    [&before, &after].map(|row| row.get(&column).map(|value| shown(value)).transpose());
                Ok(ColumnDifference { column, before: before?, after: after? })
            });
            let columns = columns.collect::<Result<_, BoxError>>()?;
            self.samples.push(RowDifference { key, kind, columns });
        }
        Ok(())
    }
}

/// The columns of a row. A document counts as its members.
fn columns(row: Option<&str>) -> Result<BTreeMap<String, &RawValue>, BoxError> {
    let Some(row) = row else { return Ok(BTreeMap::new()) };
    let mut columns = BTreeMap::new();
    for (column, value) in serde_json::from_str::<BTreeMap<String, &RawValue>>(row)? {
        match members(value) {
            Some(members) if !members.is_empty() => {
                columns.extend(members.into_iter().map(|(name, value)| (format!("{column}.{name}"), value)));
            }
            _ => {
                columns.insert(column, value);
            }
        }
    }
    Ok(columns)
}

fn members(value: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    if value.get().starts_with('{') { serde_json::from_str(value.get()).ok() } else { None }
}

/// Whether two values are the same. The members of objects may have another order. Numbers are compared as they are
/// written: as floats, two long ones would be the same.
fn is_same(one: &RawValue, other: &RawValue) -> bool {
    if one.get() == other.get() {
        return true;
    }
    if let (Some(one), Some(other)) = (members(one), members(other)) {
        return one.len() == other.len()
            && one.iter().zip(&other).all(|(one, other)| one.0 == other.0 && is_same(one.1, other.1));
    }
    let elements = |value: &'_ RawValue| serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).ok();
    if let (Some(one), Some(other)) = (elements(one), elements(other)) {
        return one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| is_same(one, other));
    }
    let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    text(one).is_some_and(|one| Some(one) == text(other))
}

fn shown(value: &RawValue) -> Result<Json, BoxError> {
    let text = value.get();
    if text.len() <= VALUE_BYTES_MAX {
        return Ok(Json::parse(text)?);
    }
    let end = text.floor_char_boundary(VALUE_BYTES_MAX);
    Ok(Json::of(&format!("{}…", &text[..end]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(rows: &[(&str, Option<&str>, Option<&str>)], samples: usize) -> TableDifferences {
        let mut table = TableDifferences::default();
        for (key, live, new) in rows {
            table.add((*key).to_owned(), *live, *new, samples).unwrap();
        }
        table
    }

    #[test]
    fn every_row_is_counted_and_the_first_of_each_kind_are_kept() {
        let table = added(
            &[
                ("a", Some(r#"{"x":1,"y":"t"}"#), Some(r#"{"x":2,"y":"t"}"#)),
                ("b", Some(r#"{"x":1,"y":"t"}"#), Some(r#"{"x":2,"y":"u"}"#)),
                ("c", None, Some(r#"{"x":1,"y":"t"}"#)),
                ("d", Some(r#"{"x":1,"y":"t"}"#), None),
            ],
            1,
        );
        assert_eq!((table.added, table.removed, table.changed), (1, 1, 2));
        assert_eq!(table.columns, BTreeMap::from([("x".to_owned(), 2), ("y".to_owned(), 1)]));
        assert_eq!(table.samples.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
        let first = &table.samples[0].columns[0];
        assert_eq!((first.column.as_str(), first.before.as_ref().unwrap().as_str()), ("x", "1"));
        assert!(!table.is_equal());
    }

    #[test]
    fn a_document_is_compared_by_its_members_whatever_their_order_is() {
        let table = added(
            &[
                (
                    "a",
                    Some(r#"{"state":{"x":1,"y":[{"p":1,"q":2}]}}"#),
                    Some(r#"{"state":{"y":[{"q":2,"p":1}],"x":1}}"#),
                ),
                ("b", Some(r#"{"state":{"x":1}}"#), Some(r#"{"state":{"x":1.0,"z":null}}"#)),
            ],
            9,
        );
        assert_eq!(table.changed, 1);
        assert_eq!(table.columns, BTreeMap::from([("state.x".to_owned(), 1), ("state.z".to_owned(), 1)]));
    }

    #[test]
    fn long_numbers_are_the_same_only_if_all_their_digits_are() {
        let one = r#"{"x":0.12345678901234567890}"#;
        assert_eq!(added(&[("a", Some(one), Some(&one.replace("890}", "891}")))], 1).changed, 1);
    }

    #[test]
    fn of_a_long_value_its_beginning_is_shown() {
        let long = format!(r#"{{"x":"{}"}}"#, "ä".repeat(1_000));
        let table = added(&[("a", None, Some(&long))], 1);
        let shown = table.samples[0].columns[0].after.as_ref().unwrap().read::<String>().unwrap();
        assert!(shown.ends_with('…') && shown.len() < 500, "{shown}");
    }
}
