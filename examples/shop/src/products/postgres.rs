//! Finds products in PostgreSQL.

use ees_projector::postgres::{Database, sqlx};

use super::{Listed, Wanted};
use crate::Failure;

/// Readers qualify table names with the schema, which has the projection's name.
const QUERY: &str = "SELECT product, in_stock, reserved, status FROM products.products
                     WHERE ($1::text IS NULL OR status = $1) AND product > $2 ORDER BY product LIMIT $3";

pub(crate) async fn list(database: &Database, wanted: Wanted) -> Result<Vec<Listed>, Failure> {
    let query = sqlx::query_as(QUERY)
        .bind(wanted.status.map(|status| status.as_str()))
        .bind(wanted.after.unwrap_or_default())
        .bind(i64::try_from(Wanted::PAGE)?);
    let rows: Vec<(String, i64, i64, String)> = query.fetch_all(database.pool()).await?;
    let listed = |(product, in_stock, reserved, status)| Listed { product, in_stock, reserved, status };
    Ok(rows.into_iter().map(listed).collect())
}
