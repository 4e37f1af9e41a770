//! Writes many new rows by COPY.

use std::fmt::Write;

use super::sql::names;
use super::{Tx, array};
use crate::error::BoxError;
use crate::read_model::{ColumnType, Row, Table, Value};

/// From this number of rows on, COPY is faster than arrays.
pub(super) const ROWS_MIN: usize = 2_000;
/// Bytes in one message of COPY.
const CHUNK_BYTES: usize = 64 * 1024;

impl Tx {
    /// Inserts rows whose keys are new. If one exists after all, the batch fails; its changesets are then
    /// applied one at a time, and load that row.
    pub(super) async fn copy_rows(&mut self, table: &Table, rows: &[(&str, &Row)]) -> Result<(), BoxError> {
        let columns = names(table).collect::<Vec<_>>().join(", ");
        let sql = format!("COPY {} ({columns}) FROM STDIN", self.qualified(&table.name));
        let mut copy = self.inner().copy_in_raw(&sql).await?;
        let mut chunk = String::with_capacity(CHUNK_BYTES + 4_096);
        for (key, row) in rows {
            push_text(&mut chunk, key);
            for (column, value) in table.columns.iter().zip(*row) {
                chunk.push('\t');
                match (column.ty, value) {
                    (ColumnType::Array(_), Value::Json(json)) => {
                        push_text(&mut chunk, &array::literal(json)?);
                    }
                    _ => push(&mut chunk, value),
                }
            }
            chunk.push('\n');
            if chunk.len() >= CHUNK_BYTES {
                copy.send(chunk.as_bytes()).await?;
                chunk.clear();
            }
        }
        copy.send(chunk.as_bytes()).await?;
        copy.finish().await?;
        Ok(())
    }
}

/// Writes a value in the text format of COPY.
fn push(chunk: &mut String, value: &Value) {
    // Writing to a `String` can't fail.
    let _ = match value {
        Value::Null => write!(chunk, "\\N"),
        Value::Bool(truth) => write!(chunk, "{truth}"),
        Value::Int(number) => write!(chunk, "{number}"),
        Value::Float(number) => write!(chunk, "{number}"),
        Value::Text(text) | Value::Json(text) => {
            push_text(chunk, text);
            Ok(())
        }
    };
}

fn push_text(chunk: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\t', '\n', '\r']) {
        chunk.push_str(&rest[..at]);
        chunk.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            _ => "\\r",
        });
        rest = &rest[at + 1..];
    }
    chunk.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_column_or_a_row_is_written_otherwise() {
        let mut chunk = String::new();
        push_text(&mut chunk, "a\tb\\N\r\nü");
        assert_eq!(chunk, "a\\tb\\\\N\\r\\nü");
    }
}
