//! The constraints of a table, for databases that speak SQL.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::column::Column;
use super::table::Table;
use crate::error::{BoxError, chain};

/// The beginning of the names of the framework's constraints. No name of a table or a column begins with it.
pub(crate) const PREFIX: &str = "ees_";

/// How the constraint of a reference begins.
const FOREIGN_KEY: &str = "FOREIGN KEY";

/// A constraint of a table.
pub(crate) struct Constraint {
    /// It tells what the constraint says: it ends in a digest of it. So a database whose tables have the same
    /// names has the same constraints.
    pub(crate) name: String,
    /// What follows the name in SQL.
    pub(crate) sql: String,
}

impl Table {
    /// The constraints of the table besides its key. `qualified` makes the name of another table.
    pub(crate) fn constraints(&self, qualified: impl Fn(&str) -> String) -> Vec<Constraint> {
        let columns = std::iter::once(&self.key).chain(&self.columns);
        let of_columns = columns.flat_map(|column| self.constraints_of(column, &qualified));
        let checks =
            self.checks.iter().map(|check| Constraint::new("check", check, format!("CHECK ({check})")));
        of_columns.chain(checks).collect()
    }

    /// The constraints that concern one column only.
    pub(crate) fn constraints_of(
        &self,
        column: &Column,
        qualified: impl Fn(&str) -> String,
    ) -> Vec<Constraint> {
        let (name, mut constraints) = (&*column.name, Vec::new());
        if !column.values.is_empty() {
            let texts: Vec<String> = column.values.iter().map(|text| literal(text)).collect();
            let texts = texts.join(", ");
            constraints.push(Constraint::new(name, &texts, format!("CHECK ({} IN ({texts}))", quoted(name))));
        }
        for reference in self.references.iter().filter(|reference| reference.column == column.name) {
            // The key of the other table is its primary key.
            let (table, column) = (&*reference.table, quoted(name));
            let sql = format!("{FOREIGN_KEY} ({column}) REFERENCES {}", qualified(table));
            constraints.push(Constraint::new(name, table, sql));
        }
        constraints
    }
}

impl Constraint {
    fn new(of: &str, meaning: &str, sql: String) -> Self {
        let mut name = format!("{PREFIX}{of}_");
        for byte in Sha256::digest(meaning).iter().take(4) {
            // Writing to a `String` can't fail.
            let _ = write!(name, "{byte:02x}");
        }
        Self { name, sql }
    }

    /// Its definition, in a table or after ADD.
    pub(crate) fn definition(&self) -> String {
        format!("CONSTRAINT {} {}", quoted(&self.name), self.sql)
    }

    /// Its definition in that of its only column.
    #[cfg(feature = "sqlite")]
    pub(crate) fn inline(&self) -> String {
        let sql = match self.sql.find("REFERENCES") {
            Some(begin) if self.sql.starts_with(FOREIGN_KEY) => &self.sql[begin..],
            _ => &self.sql,
        };
        format!("CONSTRAINT {} {sql}", quoted(&self.name))
    }
}

/// The constraints that a table in the database lacks, in words. Those of columns that are missing too come with
/// the columns.
pub(crate) fn lacking(
    table: &Table,
    qualified: impl Fn(&str) -> String,
    is_missing: impl Fn(&str) -> bool,
    is_there: impl Fn(&Constraint) -> bool,
) -> Vec<String> {
    let of_new_columns: Vec<String> = table
        .columns
        .iter()
        .filter(|column| is_missing(&column.name))
        .flat_map(|column| table.constraints_of(column, &qualified))
        .map(|constraint| constraint.name)
        .collect();
    let lacks = |constraint: &Constraint| !is_there(constraint) && !of_new_columns.contains(&constraint.name);
    table
        .constraints(&qualified)
        .iter()
        .filter(|constraint| lacks(constraint))
        .map(|constraint| {
            format!("table {} in the database lacks the constraint {}", table.name, constraint.sql)
        })
        .collect()
}

/// An error of the database, with the constraint that it names.
pub(crate) fn explained(table: &Table, error: BoxError) -> BoxError {
    let text = chain(&*error);
    match table.constraints(str::to_owned).iter().find(|constraint| text.contains(&constraint.name)) {
        Some(broken) => format!("table {}: {text}: {}", table.name, broken.sql).into(),
        // SQLite does not name the constraint.
        None if text.contains(FOREIGN_KEY) => format!("table {}: {text}", table.name).into(),
        None => error,
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
