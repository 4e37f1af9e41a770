//! The tables of a fold in memory, with a look at one row.

use std::collections::HashMap;

use super::named_keys::NamedKeys;
use crate::database::FoldRows;
use crate::error::BoxError;
use crate::read_model::{Change, Row, Table, Value};

/// The most bytes of rows that are kept.
pub(in crate::worker) const BYTES_MAX: usize = 256 * 1024 * 1024;
/// What a row takes besides its values and its key.
const ROW_BYTES: usize = 128;

/// The tables of a fold, which a replay writes instead of a database's. It notes what becomes of one row, and keeps
/// no others where that row does not depend on them.
pub(crate) struct Observed {
    tables: Vec<Table>,
    /// The keys that were named, for a replay of streams.
    pub(in crate::worker) named: Option<NamedKeys>,
    /// The table and the key of the row.
    target: (String, String),
    rows: HashMap<String, HashMap<String, Row>>,
    bytes: usize,
    pub(super) keeps: Keeps,
    /// Whether nothing is to be applied, only noted.
    pub(in crate::worker) only_looks: bool,
    seen: Seen,
    /// The rows that were written, if that is noted.
    writes: Option<Vec<Write>>,
}

/// The table and the key of a row that was written, and its bytes with the names of its columns.
type Write = ((String, String), u64);

/// Which rows are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::worker) enum Keeps {
    /// The row in question. An event that does not name it is not applied.
    OneRow,
    /// All rows of all tables.
    Everything,
}

/// What an event did to the row.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether it named the row or read it.
    pub(super) is_named: bool,
    /// The row before and after the event, if it changed the row.
    pub(super) change: Option<(Option<Row>, Option<Row>)>,
}

/// The event is none of the row's: it is not applied.
#[derive(Debug, thiserror::Error)]
#[error("the event does not belong to the row")]
pub(in crate::worker) struct Unconcerned;

/// There are more rows than are kept in memory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the row depends on others, and the read model has more than {} MiB of them up to here, the most that are kept in \
     memory to explain a row",
    BYTES_MAX / 1024 / 1024
)]
pub(in crate::worker) struct TooManyRows;

impl Observed {
    pub(in crate::worker) fn new(table: &str, key: &str, keeps: Keeps) -> Self {
        Self {
            tables: Vec::new(),
            named: None,
            target: (table.to_owned(), key.to_owned()),
            rows: HashMap::new(),
            bytes: 0,
            keeps,
            only_looks: false,
            seen: Seen::default(),
            writes: None,
        }
    }

    /// Keeps all rows, with a note of which stream named each.
    pub(in crate::worker) fn of_streams() -> Self {
        Self { named: Some(NamedKeys::default()), ..Self::new("", "", Keeps::Everything) }
    }

    /// Notes from now on which rows are written.
    pub(in crate::worker) fn noting_writes(self) -> Self {
        Self { writes: Some(Vec::new()), ..self }
    }

    /// Returns the rows that were written since the last call.
    pub(in crate::worker) fn take_writes(&mut self) -> Vec<Write> {
        self.writes.replace(Vec::new()).unwrap_or_default()
    }

    /// Returns the same tables without rows.
    pub(in crate::worker) fn emptied(&self) -> Self {
        let named = self.named.as_ref().map(|_| NamedKeys::default());
        Self { tables: self.tables.clone(), named, ..Self::new(&self.target.0, &self.target.1, self.keeps) }
    }

    /// Returns the tables that were created.
    pub(in crate::worker) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Returns the row as it is now.
    pub(super) fn row(&self) -> Option<&Row> {
        self.rows.get(&self.target.0)?.get(&self.target.1)
    }

    /// Returns a row that is kept.
    pub(in crate::worker) fn row_of(&self, table: &str, key: &str) -> Option<&Row> {
        self.rows.get(table)?.get(key)
    }

    /// Returns what was seen since the last call.
    pub(super) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    fn keep(&mut self, table: &str, key: &str, row: Option<&Row>) -> Result<(), BoxError> {
        let rows = self.rows.entry(table.to_owned()).or_default();
        let before = match row {
            Some(row) => rows.insert(key.to_owned(), row.clone()),
            None => rows.remove(key),
        };
        let bytes_of = |row: &Row| ROW_BYTES + key.len() + row.iter().map(bytes).sum::<usize>();
        self.bytes =
            (self.bytes + row.map_or(0, bytes_of)).saturating_sub(before.as_ref().map_or(0, bytes_of));
        if self.bytes > BYTES_MAX { Err(TooManyRows.into()) } else { Ok(()) }
    }
}

fn bytes(value: &Value) -> usize {
    let text = match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        _ => 0,
    };
    size_of::<Value>() + text
}

impl FoldRows for Observed {
    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.tables.push(table.clone());
        Ok(())
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.tables.retain(|known| known.name != table.name);
        Ok(())
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        if let Some(named) = &mut self.named {
            named.add(&table.name, keys)?;
            if self.only_looks {
                return Err(Unconcerned.into());
            }
        }
        if table.name == self.target.0 {
            let is_named = keys.contains(&self.target.1.as_str());
            self.seen.is_named |= is_named;
            if self.only_looks || (self.keeps == Keeps::OneRow && !is_named) {
                return Err(Unconcerned.into());
            }
        }
        let rows = self.rows.get(&*table.name);
        Ok(keys.iter().map(|key| rows.and_then(|rows| rows.get(*key)).cloned()).collect())
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        if self.only_looks {
            return Err(Unconcerned.into());
        }
        if let Some(named) = &mut self.named {
            named.written(&table.name, rows);
        }
        for Change { key, row, .. } in rows {
            if let Some(writes) = &mut self.writes {
                let values = table.columns.iter().zip(row.iter().flatten());
                let columns: usize = values.map(|(column, value)| column.name.len() + bytes(value)).sum();
                let row_bytes = (table.name.len() + key.len() + columns) as u64;
                writes.push(((table.name.to_string(), key.clone()), row_bytes));
            }
            let is_target = *key == self.target.1 && table.name == self.target.0;
            if is_target {
                let before =
                    self.seen.change.take().map_or_else(|| self.row().cloned(), |(before, _)| before);
                self.seen.change = Some((before, row.clone()));
            }
            if is_target || self.keeps == Keeps::Everything {
                self.keep(&table.name, key, row.as_ref())?;
            }
        }
        Ok(())
    }
}
