//! Tells in which rows and columns the tables of two schemas differ.

use futures::TryStreamExt;
use sqlx::AssertSqlSafe;

use super::Tx;
use super::compare::Shape;
use super::sql::{quoted, unsigned};
use crate::error::BoxError;
use crate::preview::{RowDifferences, TableDifferences};

impl Tx {
    pub(super) async fn differing_rows(
        &mut self,
        live: &str,
        new: &str,
        samples: usize,
    ) -> Result<RowDifferences, BoxError> {
        let (of_live, of_new) = (self.shapes(live).await?, self.shapes(new).await?);
        let names = |tables: &[Shape]| tables.iter().map(|table| table.name.clone()).collect();
        let mut found = RowDifferences::of_tables(&names(&of_live), &names(&of_new));
        for table in &of_live {
            if let Some(twin) = of_new.iter().find(|twin| twin.name == table.name) {
                found.tables.push(self.table_rows((live, table), (new, twin), samples).await?);
            }
        }
        Ok(found)
    }

    async fn table_rows(
        &mut self,
        (live, table): (&str, &Shape),
        (new, twin): (&str, &Shape),
        samples: usize,
    ) -> Result<TableDifferences, BoxError> {
        let name = quoted(&table.name);
        let (live, new) = (format!("{}.{name}", quoted(live)), format!("{}.{name}", quoted(new)));
        let mut found = TableDifferences { table: table.name.clone(), ..TableDifferences::default() };
        let common = found.compare_columns(&table.columns, &twin.columns);
        found.rows_live = self.count(&live).await?;
        found.rows_new = self.count(&new).await?;
        let columns: Vec<_> = common.iter().map(|name| format!("t.{}", quoted(name))).collect();
        let row = format!("(SELECT row_to_json(ees_r)::text FROM (SELECT {}) ees_r)", columns.join(", "));
        let has_type = |shape: &Shape, ty: &(String, String)| shape.columns.contains(ty);
        let is_same_key = table.key == twin.key
            && table.columns.iter().filter(|(name, _)| table.key.contains(name)).all(|it| has_type(twin, it));
        let sql = match table.key_text().filter(|_| is_same_key) {
            Some(key) => {
                let keys: Vec<_> = table
                    .key
                    .iter()
                    .enumerate()
                    .map(|(number, column)| format!("t.{} AS k{number}", quoted(column)))
                    .collect();
                let same: Vec<_> =
                    (0..table.key.len()).map(|number| format!("a.k{number} = b.k{number}")).collect();
                let (keys, same) = (keys.join(", "), same.join(" AND "));
                format!(
                    "SELECT coalesce(a.key, b.key), a.ees_row, b.ees_row, 1::bigint
                     FROM (SELECT {keys}, {key} AS key, {row} AS ees_row FROM {live} t) a
                     FULL JOIN (SELECT {keys}, {key} AS key, {row} AS ees_row FROM {new} t) b ON {same}
                     WHERE a.ees_row IS DISTINCT FROM b.ees_row ORDER BY 1"
                )
            }
            // A row may be there several times.
            None => format!(
                "SELECT '', CASE WHEN sum(side) > 0 THEN ees_row END, CASE WHEN sum(side) < 0 THEN ees_row END,
                    abs(sum(side))::bigint
                 FROM (SELECT 1 AS side, {row} AS ees_row FROM {live} t UNION ALL SELECT -1, {row} FROM {new} t) both_sides
                 GROUP BY ees_row HAVING sum(side) <> 0 ORDER BY ees_row"
            ),
        };
        let mut rows = sqlx::query_as(AssertSqlSafe(sql)).fetch(self.inner());
        type Differing = (String, Option<String>, Option<String>, i64);
        while let Some((key, live, new, times)) = rows.try_next().await? as Option<Differing> {
            for _ in 0..times {
                found.add(key.clone(), live.as_deref(), new.as_deref(), samples)?;
            }
        }
        Ok(found)
    }

    async fn count(&mut self, table: &str) -> Result<u64, BoxError> {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        Ok(unsigned(sqlx::query_scalar(count).fetch_one(self.inner()).await?))
    }
}
