//! The streams of each type in the order of their last changesets. The functions that append keep them; this
//! reads them.

use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::error::failed;
use super::readers::Readers;
use super::sql::{signed, unsigned};
use crate::{ChangesetId, EventId, Result, StreamId, Tail, Timestamp, TypePage, TypeQuery, TypedStream};

/// The key is the whole order, so that a page begins where it begins.
const PAGE: &str = "
    SELECT updated_at, stream_id, changeset_id, event_id FROM ees_store.typed_streams
    WHERE stream_type = $1 AND (updated_at, stream_id) > ($2, $3)
    ORDER BY updated_at, stream_id LIMIT $4";

/// A page of a type.
pub(super) async fn page(readers: &Readers, query: &TypeQuery) -> Result<TypePage> {
    let rows = readers.ask(query, |query, connection| Box::pin(rows(connection, query))).await?;
    let stream = |row: &PgRow| -> sqlx::Result<TypedStream> {
        Ok(TypedStream {
            stream_id: StreamId::stored(row.try_get(1)?),
            tail: Tail {
                last_changeset: ChangesetId::new(unsigned(row.try_get(2)?)),
                last_event: EventId::new(unsigned(row.try_get(3)?)),
                last_timestamp: Timestamp::from_micros(row.try_get(0)?),
                stream_type: Some(query.stream_type.clone()),
            },
        })
    };
    let streams = rows.iter().map(stream).collect::<sqlx::Result<_>>().map_err(failed)?;
    Ok(TypePage::cut(streams, query.page_length()))
}

async fn rows(connection: &mut PgConnection, query: &TypeQuery) -> sqlx::Result<Vec<PgRow>> {
    // No id is empty: before the first one of that moment.
    let from = (query.updated_from.as_micros(), "");
    let after = query.after.as_ref().map(|after| (after.updated_at.as_micros(), after.stream_id.as_str()));
    let (micros, stream_id) = after.map_or(from, |after| after.max(from));
    sqlx::query(PAGE)
        .bind(query.stream_type.as_str())
        .bind(micros)
        .bind(stream_id)
        .bind(signed(query.page_length() as u64 + 1))
        .fetch_all(connection)
        .await
}

#[cfg(test)]
mod tests {
    use ees_test_postgres::TestDatabase;
    use sqlx::{AssertSqlSafe, Connection};

    use super::*;
    use crate::postgres::Store;

    #[tokio::test]
    async fn a_page_is_found_by_its_key_and_nothing_is_sorted() {
        let database = TestDatabase::new().await;
        drop(Store::connect(database.url()).await.unwrap());
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let fill = "INSERT INTO ees_store.typed_streams SELECT n, 1, 1, 'type-' || n % 3, 's' || n
            FROM generate_series(1, 20000) n; ANALYZE ees_store.typed_streams";
        sqlx::raw_sql(fill).execute(&mut connection).await.unwrap();
        let explain = format!("EXPLAIN {PAGE}");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
            .bind("type-1")
            .bind(15_000_i64)
            .bind("")
            .bind(100_i64)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("Index Scan using typed_streams_pkey"), "{plan}");
        assert!(plan.contains("Index Cond") && plan.contains("updated_at"), "{plan}");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
    }
}
