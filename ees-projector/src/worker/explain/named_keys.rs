//! The keys that a replay of some streams has named, and the stream that named each.

use std::collections::BTreeMap;

use ees_store::StreamId;

use crate::read_model::Change;

/// The keys of each table that the events of some streams named or looked up.
#[derive(Default)]
pub(in crate::worker) struct NamedKeys {
    /// The stream whose events are applied.
    pub(in crate::worker) stream_id: Option<StreamId>,
    tables: BTreeMap<String, BTreeMap<String, NamedKey>>,
}

/// A key that the events of a stream named.
pub(in crate::worker) struct NamedKey {
    pub(in crate::worker) stream_id: StreamId,
    /// Whether an event changed its row.
    pub(in crate::worker) is_written: bool,
}

/// Events of two streams name the same row.
#[derive(Debug, thiserror::Error)]
#[error("the row \"{key}\" of table {table} is named by stream \"{one}\" and by stream \"{other}\"")]
pub(in crate::worker) struct SharedRow {
    table: String,
    key: String,
    one: StreamId,
    other: StreamId,
}

impl NamedKeys {
    /// Adds keys that the current stream names.
    pub(super) fn add(&mut self, table: &str, keys: &[&str]) -> Result<(), SharedRow> {
        let Some(stream_id) = &self.stream_id else { return Ok(()) };
        let known = self.tables.entry(table.to_owned()).or_default();
        for key in keys {
            match known.get(*key) {
                None => {
                    let named = NamedKey { stream_id: stream_id.clone(), is_written: false };
                    known.insert((*key).to_owned(), named);
                }
                Some(named) if named.stream_id == *stream_id => {}
                Some(NamedKey { stream_id: one, .. }) => {
                    let (table, key) = (table.to_owned(), (*key).to_owned());
                    return Err(SharedRow { table, key, one: one.clone(), other: stream_id.clone() });
                }
            }
        }
        Ok(())
    }

    /// Notes which rows were changed.
    pub(super) fn written(&mut self, table: &str, rows: &[Change]) {
        let Some(known) = self.tables.get_mut(table) else { return };
        for Change { key, .. } in rows {
            if let Some(named) = known.get_mut(key) {
                named.is_written = true;
            }
        }
    }

    /// Returns the keys of a table, in order.
    pub(in crate::worker) fn of_table(&self, table: &str) -> impl Iterator<Item = (&str, &NamedKey)> {
        self.tables.get(table).into_iter().flatten().map(|(key, named)| (key.as_str(), named))
    }
}
