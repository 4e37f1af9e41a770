//! How a table of the database differs from the one that the code would make.

use super::column::Column;
use super::table::Table;

/// How the table in a database differs from a [`Table`].
///
/// What others added to the table is no difference: a column, an index, a constraint, NOT NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The names of the columns that the database lacks.
    pub missing: Vec<String>,
    /// Everything else, in words.
    pub others: Vec<String>,
}

/// A column of a table in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundColumn {
    /// Its name.
    pub name: String,
    /// Its type, in the words of the database.
    pub ty: String,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether somebody else than the projection has added it.
    pub foreign: bool,
    /// Whether somebody else than the projection has made it NOT NULL.
    pub foreign_not_null: bool,
}

impl Differences {
    /// The table is missing.
    pub fn no_table(table: &Table) -> Self {
        Self { missing: Vec::new(), others: vec![format!("there is no table {}", table.name)] }
    }

    /// Compares the columns. `type_of` says which type the database would give to a column.
    pub fn of_columns(table: &Table, found: &[FoundColumn], type_of: impl Fn(&Column) -> String) -> Self {
        let mut differences = Self::default();
        let declared = || std::iter::once(&table.key).chain(&table.columns);
        for column in declared() {
            let name = format!("column {}.{}", table.name, column.name);
            let Some(known) = found.iter().find(|known| known.name == column.name) else {
                differences.missing.push(column.name.to_string());
                continue;
            };
            let wanted = type_of(column);
            if known.ty != wanted {
                let is = &known.ty;
                differences
                    .others
                    .push(format!("{name} is {is} in the database, and {wanted} in the program"));
            }
            if known.nullable && !column.nullable {
                differences
                    .others
                    .push(format!("{name} may be NULL in the database, and not in the program"));
            }
            if !known.nullable && column.nullable && !known.foreign_not_null {
                differences
                    .others
                    .push(format!("{name} may be NULL in the program, and not in the database"));
            }
        }
        for known in found.iter().filter(|known| !known.foreign) {
            if !declared().any(|column| column.name == known.name) {
                let name = &known.name;
                differences.others.push(format!("column {}.{name} is not in the program", table.name));
            }
        }
        differences
    }

    /// Everything in words; nothing if the tables are the same.
    pub fn in_words(&self, table: &Table) -> Vec<String> {
        let missing =
            self.missing.iter().map(|name| format!("column {}.{name} is not in the database", table.name));
        missing.chain(self.others.iter().cloned()).collect()
    }

    /// Whether they are the same.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.others.is_empty()
    }
}
