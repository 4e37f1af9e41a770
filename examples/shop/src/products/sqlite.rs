//! Finds products in SQLite.

use ees_projector::sqlite::Database;

use super::{Listed, Wanted};
use crate::Failure;

const QUERY: &str = "SELECT product, in_stock, reserved, status FROM products
                     WHERE (?1 IS NULL OR status = ?1) AND product > ?2 ORDER BY product LIMIT ?3";

pub(crate) async fn list(database: &Database, wanted: Wanted) -> Result<Vec<Listed>, Failure> {
    let found = database.read(move |connection| {
        let status = wanted.status.map(|status| status.as_str());
        let wanted = (status, wanted.after.unwrap_or_default(), Wanted::PAGE);
        let mut query = connection.prepare_cached(QUERY)?;
        let rows = query.query_map(wanted, |row| {
            let (product, status) = (row.get(0)?, row.get(3)?);
            Ok(Listed { product, in_stock: row.get(1)?, reserved: row.get(2)?, status })
        })?;
        rows.collect()
    });
    Ok(found.await?)
}
