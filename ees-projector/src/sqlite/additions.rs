//! What others add to the tables of a projection, and how it gets to the tables that take their place:
//! indexes and triggers.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::passes;
use crate::database::{Addition, Attachments, is_part_of};
use crate::error::BoxError;

/// Selects the name of everything in the file. For a trigger, SQLite keeps the name of the table as it was typed,
/// in whatever case: so the table's own name is looked up.
const OBJECTS: &str = "
    SELECT CASE s.type WHEN 'trigger' THEN format('trigger %s of %s', s.name, coalesce(o.name, s.tbl_name))
        ELSE format('%s %s', s.type, s.name) END
    FROM sqlite_schema s LEFT JOIN sqlite_schema o
        ON s.type = 'trigger' AND o.type IN ('table', 'view') AND o.name = s.tbl_name COLLATE NOCASE
    WHERE s.name NOT GLOB 'sqlite_*' AND s.name NOT GLOB 'ees_*'
    UNION ALL
    SELECT format('column %s.%s', m.name, c.name) FROM sqlite_schema m, pragma_table_xinfo(m.name) c
    WHERE m.type = 'table' AND m.name NOT GLOB 'sqlite_*' AND m.name NOT GLOB 'ees_*'
    ORDER BY 1";

/// Selects the name, the table and the statement of each index and trigger, and what it needs as a JSON
/// array: the columns of an index, which SQLite would take for texts if they were quoted and missing; all
/// columns of the table of a trigger.
const ADDITIONS: &str = "
    SELECT format('index %s', i.name), i.tbl_name, i.sql,
        (SELECT json_group_array(format('column %s.%s', i.tbl_name, c.name))
            FROM pragma_index_xinfo(i.name) c WHERE c.key AND c.name IS NOT NULL)
    FROM sqlite_schema i WHERE i.type = 'index' AND i.sql IS NOT NULL
    UNION ALL
    SELECT format('trigger %s of %s', t.name, o.name), o.name, t.sql,
        (SELECT json_group_array(format('column %s.%s', o.name, c.name)) FROM pragma_table_xinfo(o.name) c)
    FROM sqlite_schema t JOIN sqlite_schema o
        ON o.type IN ('table', 'view') AND o.name = t.tbl_name COLLATE NOCASE
    WHERE t.type = 'trigger'";

/// The names of everything in the file but what the projection with this row made; of everything if that is
/// not known.
pub(super) fn of_others(connection: &Connection, projection: &str) -> Result<Vec<String>, BoxError> {
    let own = own(connection, projection)?.unwrap_or_default();
    let mut objects = objects(connection)?;
    objects.retain(|object| !own.contains(object));
    Ok(objects)
}

/// Records that the projection made everything but `others`.
pub(super) fn claim(connection: &Connection, projection: &str, others: &[String]) -> Result<(), BoxError> {
    let mut own = objects(connection)?;
    own.retain(|object| !others.contains(object));
    let claim = "UPDATE ees_projections SET objects = ?2 WHERE name = ?1";
    connection.execute(claim, [projection, &serde_json::to_string(&own)?])?;
    Ok(())
}

/// What others added to the tables of a projection, before these are made again.
pub(super) fn of_tables(connection: &Connection, projection: &str) -> Result<Attachments, BoxError> {
    let mut objects = of_others(connection, projection)?;
    let Some(own) = own(connection, projection)? else {
        return Ok(Attachments { objects, ..Attachments::default() });
    };
    let tables = objects.iter().filter_map(|object| object.strip_prefix("table ")).map(str::to_owned);
    let tables: Vec<String> = tables.collect();
    let mut parts = HashSet::new();
    let mut additions = Vec::new();
    let mut statement = connection.prepare(ADDITIONS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, table): (String, String) = (row.get(0)?, row.get(1)?);
        if tables.contains(&table) {
            parts.insert(name);
        } else if !own.contains(&name) && own.contains(&format!("table {table}")) {
            let needs = serde_json::from_str(&row.get::<_, String>(3)?)?;
            additions.push(Addition { name, statement: row.get(2)?, needs });
        }
    }
    objects.retain(|object| !is_part_of(object, &tables) && !parts.contains(object));
    Ok(Attachments { additions, objects, ..Attachments::default() })
}

/// Makes again what others added, as far as the new tables allow it. Returns which of their objects are no
/// longer there.
pub(super) fn add(connection: &Connection, attachments: &Attachments) -> Result<Vec<String>, BoxError> {
    let there: HashSet<String> = objects(connection)?.into_iter().collect();
    for Addition { name, statement, needs } in &attachments.additions {
        if there.contains(name) || !needs.iter().all(|need| there.contains(need)) {
            continue;
        }
        match connection.execute(statement, []) {
            Err(error) if error.sqlite_error_code().is_some_and(passes) => return Err(error.into()),
            Err(error) => tracing::debug!(statement, %error, "can't be made again"),
            Ok(_) => {}
        }
    }
    let there: HashSet<String> = objects(connection)?.into_iter().collect();
    Ok(attachments.objects.iter().filter(|object| !there.contains(*object)).cloned().collect())
}

/// What others added to the tables of the live read model, and can't be made again on those of the standby.
pub(super) fn missing(
    of_live: &Connection,
    projection: &str,
    of_standby: &Connection,
) -> Result<Vec<String>, BoxError> {
    let Attachments { additions, objects: others, .. } = of_tables(of_live, projection)?;
    let own = own(of_live, projection)?.unwrap_or_default();
    let built: HashSet<String> = objects(of_standby)?.into_iter().collect();
    let is_made_again = |object: &String| {
        let addition = additions.iter().find(|addition| addition.name == *object);
        addition.is_some_and(|addition| addition.needs.iter().all(|need| built.contains(need)))
    };
    let own_tables: Vec<String> =
        own.iter().filter_map(|object| object.strip_prefix("table ")).map(str::to_owned).collect();
    let is_of_own_table = |object: &String| {
        additions.iter().any(|addition| addition.name == *object) || is_part_of(object, &own_tables)
    };
    let lost = |object: &String| is_of_own_table(object) && !built.contains(object) && !is_made_again(object);
    Ok(others.into_iter().filter(lost).collect())
}

pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare(OBJECTS)?.query_map([], |row| row.get(0))?.collect()
}

/// The names of what the projection made, or `None` if it was not recorded.
pub(super) fn own(connection: &Connection, projection: &str) -> Result<Option<HashSet<String>>, BoxError> {
    let own = "SELECT objects FROM ees_projections WHERE name = ?1";
    let own: Option<Option<String>> = connection.query_row(own, [projection], |row| row.get(0)).optional()?;
    Ok(own.flatten().map(|text| serde_json::from_str(&text)).transpose()?)
}
