//! The tables of read models.

use std::collections::BTreeMap;

use super::Tx;
use crate::read_model_id::Slot;
use crate::standby::Comparison;

/// The rows of a table by key, as text. A row of a fold is JSON: its state, or an object of its columns.
pub type Rows = BTreeMap<String, String>;

impl Tx {
    /// The rows of a table. Creates the table if it does not exist.
    pub fn table(&mut self, name: &str) -> &mut Rows {
        let model = self.model_with(name);
        self.written.insert(model.clone());
        self.content.of_mut(&model).tables.entry(name.to_owned()).or_default()
    }

    /// Drops a table if it exists.
    pub fn drop_table(&mut self, name: &str) {
        let model = self.model_with(name);
        self.written.insert(model.clone());
        self.content.of_mut(&model).tables.remove(name);
    }

    /// The rows of a table, to read them; none if there is no such table.
    pub(super) fn rows(&self, name: &str) -> Rows {
        self.content.of(&self.model_with(name)).tables.get(name).cloned().unwrap_or_default()
    }

    /// The read model that has a table, or gets it.
    fn model_with(&self, table: &str) -> String {
        let entered = self.entered.as_ref().map(|model| model.name().to_owned());
        let is_live = self.entered.as_ref().is_none_or(|model| model.slot() == Slot::Live);
        let found = self.content.live_with(table).filter(|_| is_live).map(str::to_owned);
        found.or(entered).unwrap_or_default()
    }
}

/// Compares the tables of the live read model with those of another.
pub(super) fn compare(tables: &BTreeMap<String, Rows>, others: &BTreeMap<String, Rows>) -> Comparison {
    let mut comparison = Comparison::default();
    let mut differ = |difference: String| {
        if comparison.differences.len() < Comparison::DIFFERENCES_MAX {
            comparison.differences.push(difference);
        }
    };
    for name in others.keys().filter(|name| !tables.contains_key(*name)) {
        differ(format!("table {name}: only in the read model built for comparison"));
    }
    for (name, rows) in tables {
        let Some(twin) = others.get(name) else {
            differ(format!("table {name}: only in the live read model"));
            continue;
        };
        comparison.rows += rows.len() as u64;
        for (key, row) in rows {
            match twin.get(key) {
                Some(built) if is_equal(row, built) => {}
                Some(built) => differ(format!("table {name}: changed row {key}: {row}, expected {built}")),
                None => differ(format!("table {name}: extra row {key}: {row}")),
            }
        }
        for (key, built) in twin.iter().filter(|(key, _)| !rows.contains_key(*key)) {
            differ(format!("table {name}: missing row {key}: {built}"));
        }
    }
    comparison
}

/// A column that is not there is one without a value: an added one may be missing in rows from before.
fn is_equal(row: &str, other: &str) -> bool {
    let columns = |row: &str| {
        let columns: BTreeMap<String, serde_json::Value> = serde_json::from_str(row).ok()?;
        Some(columns.into_iter().filter(|(_, value)| !value.is_null()).collect::<BTreeMap<_, _>>())
    };
    row == other || columns(row).is_some_and(|row| Some(row) == columns(other))
}
