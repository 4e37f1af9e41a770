//! The tables of folds: a key and a state, both text.
//!
//! A prepared statement for each row: within one process there is no round trip to save, and it beats building one
//! large statement (docs/decisions/0004).

use rusqlite::{OptionalExtension, params};

use super::Tx;
use crate::database::FoldRows;
use crate::projection::BoxError;

impl FoldRows for Tx {
    async fn create_rows(&mut self, table: &str) -> Result<(), BoxError> {
        self.connection().execute_batch(&format!(
            "CREATE TABLE \"{table}\" (key TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID"
        ))?;
        Ok(())
    }

    async fn drop_rows(&mut self, table: &str) -> Result<(), BoxError> {
        self.connection().execute_batch(&format!("DROP TABLE IF EXISTS \"{table}\""))?;
        Ok(())
    }

    async fn load_rows(&mut self, table: &str, keys: &[&str]) -> Result<Vec<Option<String>>, BoxError> {
        let sql = format!("SELECT state FROM \"{table}\" WHERE key = ?1");
        let mut statement = self.connection().prepare_cached(&sql)?;
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            states.push(statement.query_row([key], |row| row.get(0)).optional()?);
        }
        Ok(states)
    }

    async fn write_rows(&mut self, table: &str, rows: &[(String, Option<String>)]) -> Result<(), BoxError> {
        let upsert = format!(
            "INSERT INTO \"{table}\" (key, state) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET state = excluded.state"
        );
        let delete = format!("DELETE FROM \"{table}\" WHERE key = ?1");
        let mut upsert = self.connection().prepare_cached(&upsert)?;
        let mut delete = self.connection().prepare_cached(&delete)?;
        for (key, state) in rows {
            match state {
                Some(state) => upsert.execute(params![key, state])?,
                None => delete.execute([key])?,
            };
        }
        Ok(())
    }
}
