//! Compares a table of the database with the one that a program would make.

use sqlx::Row;

use super::Tx;
use super::rows::type_sql;
use super::sql::quoted;
use crate::error::BoxError;
use crate::read_model::constraint::{Constraint, PREFIX, lacking};
use crate::read_model::{ColumnType, Differences, FoundColumn, Table};

/// The schema of the read model: the first of the search path. `current_schema()` would pass over one that this
/// role has no right to use.
macro_rules! schema {
    () => {
        "(parse_ident(split_part(current_setting('search_path'), ',', 1)))[1]"
    };
}

/// Selects the name of each column of the table `$1` in the read model's schema, whether it may be NULL, its type as
/// PostgreSQL writes it, and the name by which what others added is known.
const COLUMNS: &str = concat!(
    "
    SELECT a.attname::text, NOT a.attnotnull,
        format_type(a.atttypid, a.atttypmod) || CASE WHEN l.collname = 'C' THEN ' COLLATE \"C\"' ELSE '' END,
        format('column %I.%I', c.relname, a.attname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE n.nspname = ",
    schema!(),
    " AND c.relname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
);

/// Selects the names of the constraints of the table `$1` in the read model's schema.
const CONSTRAINTS: &str = concat!(
    "
    SELECT k.conname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_constraint k ON k.conrelid = c.oid WHERE n.nspname = ",
    schema!(),
    " AND c.relname = $1"
);

impl Tx {
    pub(super) async fn table_differences(
        &mut self,
        table: &Table,
        others: &[String],
    ) -> Result<Differences, BoxError> {
        let rows = sqlx::query(COLUMNS).bind(&*table.name).fetch_all(self.inner()).await?;
        if rows.is_empty() {
            return Ok(Differences::no_table(table));
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let object: String = row.try_get(3)?;
            found.push(FoundColumn {
                name: row.try_get(0)?,
                ty: row.try_get(2)?,
                nullable: row.try_get(1)?,
                foreign: others.contains(&object),
                foreign_not_null: others.contains(&format!("NOT NULL of {object}")),
            });
        }
        let mut differences = Differences::of_columns(table, &found, |column| {
            let sorted = column.sorted_by_bytes && column.ty == ColumnType::Text;
            let ty = type_sql(column.ty).replace("timestamptz", "timestamp with time zone");
            format!("{ty}{}", if sorted { " COLLATE \"C\"" } else { "" })
        });
        let constraints: Vec<String> =
            sqlx::query_scalar(CONSTRAINTS).bind(&*table.name).fetch_all(self.inner()).await?;
        let is_there = |constraint: &Constraint| constraints.contains(&constraint.name);
        let is_missing = |name: &str| differences.missing.iter().any(|missing| missing == name);
        let lacking = lacking(table, quoted, is_missing, is_there);
        differences.others.extend(lacking);
        let names: Vec<String> =
            table.constraints(quoted).into_iter().map(|constraint| constraint.name).collect();
        for gone in constraints.iter().filter(|name| name.starts_with(PREFIX) && !names.contains(name)) {
            differences
                .others
                .push(format!("table {}: the program does not have the constraint {gone}", table.name));
        }
        Ok(differences)
    }
}
