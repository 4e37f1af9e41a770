//! Compares the tables of two schemas that should be equal.

use sqlx::AssertSqlSafe;

use super::Tx;
use super::sql::quoted;
use crate::error::BoxError;
use crate::standby::{Comparison, shortened};

/// A table of a read model.
pub(super) struct Shape {
    pub(super) name: String,
    /// The columns with their types, in order.
    pub(super) columns: Vec<(String, String)>,
    pub(super) key: Vec<String>,
}

impl Shape {
    /// The columns by name: one that was added later is the last of its table.
    fn sorted(&self) -> Vec<String> {
        let mut columns: Vec<_> = self.columns.iter().map(|(name, ty)| format!("{name} {ty}")).collect();
        columns.sort_unstable();
        columns
    }

    /// A row of the table `t`. The columns have the table's name: a plain `t` would be a column of that name.
    fn row(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| format!("t.{}", quoted(name))).collect();
        format!("ROW({})", names.join(", "))
    }

    /// The key of a row of the table `t` as text. `None` for a table without a key.
    pub(super) fn key_text(&self) -> Option<String> {
        match self.key.as_slice() {
            [] => None,
            [only] => Some(format!("t.{}::text", quoted(only))),
            many => {
                let columns: Vec<String> =
                    many.iter().map(|column| format!("t.{}", quoted(column))).collect();
                Some(format!("ROW({})::text", columns.join(", ")))
            }
        }
    }
}

impl Tx {
    /// Compares counts and hashes first, in one pass over each table. Compares row by row only where these
    /// differ.
    pub(super) async fn differences(&mut self, one: &str, other: &str) -> Result<Comparison, BoxError> {
        let (tables, others) = (self.shapes(one).await?, self.shapes(other).await?);
        let mut comparison = Comparison::default();
        for gone in others.iter().filter(|table| !tables.iter().any(|known| known.name == table.name)) {
            comparison
                .differences
                .push(format!("table {}: only in the read model built for comparison", gone.name));
        }
        for table in &tables {
            let Some(twin) = others.iter().find(|twin| twin.name == table.name) else {
                comparison.differences.push(format!("table {}: only in the live read model", table.name));
                continue;
            };
            if twin.sorted() != table.sorted() {
                let (live, built) = (table.sorted().join(", "), twin.sorted().join(", "));
                let difference = format!(
                    "table {}: has the columns ({live}), but the one built for comparison has ({built})",
                    table.name
                );
                comparison.differences.push(difference);
                continue;
            }
            let sum = self.sum(one, table).await?;
            comparison.rows += u64::try_from(sum.0).unwrap_or(0);
            if sum == self.sum(other, table).await? {
                continue;
            }
            let room = Comparison::DIFFERENCES_MAX.saturating_sub(comparison.differences.len());
            let rows = self.rows_that_differ(one, other, table, room).await?;
            comparison.differences.extend(rows);
        }
        Ok(comparison)
    }

    pub(super) async fn shapes(&mut self, schema: &str) -> Result<Vec<Shape>, BoxError> {
        let shapes = sqlx::query_as::<_, (String, Vec<String>, Vec<String>, Vec<String>)>(
            "SELECT c.relname::text,
                ARRAY(SELECT a.attname::text FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                ARRAY(SELECT a.attname::text FROM pg_index i, pg_attribute a
                    WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                    ORDER BY array_position(i.indkey::smallint[], a.attnum))
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
        )
        .bind(schema)
        .fetch_all(self.inner())
        .await?;
        Ok(shapes
            .into_iter()
            .map(|(name, columns, types, key)| {
                let columns = columns.into_iter().zip(types).collect();
                Shape { name, columns, key }
            })
            .collect())
    }

    /// The number of rows of a table, and the sum of their hashes, which does not depend on their order.
    async fn sum(&mut self, schema: &str, table: &Shape) -> Result<(i64, String), BoxError> {
        let sum = format!(
            "SELECT count(*), coalesce(sum(hashtextextended(({})::text, 0)::numeric), 0)::text FROM {}.{} t",
            table.row(),
            quoted(schema),
            quoted(&table.name)
        );
        Ok(sqlx::query_as(AssertSqlSafe(sum)).fetch_one(self.inner()).await?)
    }

    async fn rows_that_differ(
        &mut self,
        one: &str,
        other: &str,
        table: &Shape,
        limit: usize,
    ) -> Result<Vec<String>, BoxError> {
        let name = quoted(&table.name);
        let (live, built) = (format!("{}.{name}", quoted(one)), format!("{}.{name}", quoted(other)));
        // In a table without a key, the whole row is the key.
        let row = table.row();
        let key = table.key_text().unwrap_or_else(|| format!("({row})::text"));
        let rows = format!("string_agg(({row})::text, ' ' ORDER BY ({row})::text) AS rows");
        let sql = format!(
            "SELECT coalesce(a.key, b.key),
                CASE WHEN b.key IS NULL THEN 'extra' WHEN a.key IS NULL THEN 'missing' ELSE 'changed' END,
                coalesce(a.rows, ''), coalesce(b.rows, '')
             FROM (SELECT {key} AS key, {rows} FROM {live} t GROUP BY 1) a
             FULL JOIN (SELECT {key} AS key, {rows} FROM {built} t GROUP BY 1) b ON a.key = b.key
             WHERE a.rows IS DISTINCT FROM b.rows ORDER BY 1 LIMIT {limit}"
        );
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(self.inner()).await?;
        let words = |(key, what, live, built): (String, String, String, String)| {
            let name = &table.name;
            let (live, built) = (shortened(&live), shortened(&built));
            match what.as_str() {
                "extra" => format!("table {name}: extra row {key}: {live}"),
                "missing" => format!("table {name}: missing row {key}: {built}"),
                _ => format!("table {name}: changed row {key}: {live}, expected {built}"),
            }
        };
        Ok(rows.into_iter().map(words).collect())
    }
}
