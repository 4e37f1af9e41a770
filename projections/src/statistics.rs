//! The size of the log, in four numbers.

use ees_projector::{Fold, Recorded, Subscription};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Counts streams, changesets and events, and measures the longest stream.
///
/// Its table has one row, with the key `all`. The server's `GET /streams` returns these numbers.
///
/// It needs the global order, so it can't be split into partitions.
pub struct Statistics;

/// The row of [`Statistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Streams with at least one changeset.
    pub total_streams: u64,
    /// Changesets in all streams.
    pub total_changesets: u64,
    /// Events in all streams.
    pub total_events: u64,
    /// Changesets in the longest stream.
    pub max_stream_length: u64,
}

impl Statistics {
    /// The name of the projection and of its table.
    pub const NAME: &str = "statistics";
    const KEY: &str = "all";

    /// Reads the totals from SQLite, and the checkpoint up to which they count: the one that the projection
    /// reads next. All zero before the first run.
    ///
    /// # Errors
    /// An error of the database.
    #[cfg(feature = "sqlite")]
    pub async fn read(
        database: &ees_projector::sqlite::Database,
    ) -> Result<(Totals, ees_store::Checkpoint), Box<dyn std::error::Error + Send + Sync>> {
        use ees_projector::sqlite::{checkpoint, rusqlite::OptionalExtension};
        let read = database.read(|connection| {
            // Reads both from one snapshot, so that the numbers and the checkpoint fit together.
            let snapshot = connection.unchecked_transaction()?;
            let Some(version) = checkpoint(&snapshot, Self::NAME)? else { return Ok((None, None)) };
            let text: Option<String> = snapshot
                .prepare_cached("SELECT state FROM statistics WHERE key = ?1")?
                .query_row([Self::KEY], |row| row.get(0))
                .optional()?;
            Ok((text, Some(version)))
        });
        let (text, version) = read.await?;
        let totals = text.as_deref().map(serde_json::from_str).transpose()?;
        Ok((totals.unwrap_or_default(), version.unwrap_or_default()))
    }
}

/// SQLSTATE of a table that does not exist.
#[cfg(feature = "postgres")]
const UNDEFINED_TABLE: &str = "42P01";

#[cfg(feature = "postgres")]
impl Statistics {
    /// Reads the same from PostgreSQL.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read_postgres(
        database: &ees_projector::postgres::Database,
    ) -> Result<(Totals, ees_store::Checkpoint), Box<dyn std::error::Error + Send + Sync>> {
        use ees_projector::database::Database as _;
        use ees_projector::postgres::sqlx;
        // A transaction gives up a lock that it waits for: this may be asked again and again.
        let mut tx = database.begin().await?;
        // One statement, and the position of the read model that the row is from: a swap may exchange the tables
        // between the moment when the name is looked up and the one that the statement sees.
        let found: Option<(i64, Option<String>)> = sqlx::query_as(
            "SELECT coalesce((SELECT min(o.checkpoint) FROM ees.projections o WHERE starts_with(o.name, p.name || '/')),
                p.checkpoint), t.state
             FROM ees.projections p
             LEFT JOIN (SELECT s.state::text, n.nspname FROM statistics.statistics s
                JOIN pg_class c ON c.oid = s.tableoid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE s.key = $1) t ON true
             WHERE p.name = coalesce(t.nspname, $2)",
        )
        .bind(Self::KEY)
        .bind(Self::NAME)
        .fetch_optional(tx.connection())
        .await
        .or_else(|error| match error.as_database_error().and_then(|answer| answer.code()) {
            // It was never started here.
            Some(code) if code == UNDEFINED_TABLE => Ok(None),
            _ => Err(error),
        })?;
        let Some((checkpoint, text)) = found else { return Ok(Default::default()) };
        let totals = text.as_deref().map(serde_json::from_str).transpose()?;
        let checkpoint = u64::try_from(checkpoint).unwrap_or(0);
        Ok((totals.unwrap_or_default(), checkpoint.into()))
    }
}

#[cfg(feature = "dynamodb")]
impl Statistics {
    /// Reads the same from DynamoDB.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read_dynamodb(
        database: &ees_projector::dynamodb::Database,
    ) -> Result<(Totals, ees_store::Checkpoint), Box<dyn std::error::Error + Send + Sync>> {
        let (totals, version) = database.document(Self::NAME, Self::KEY).await?;
        Ok((totals.unwrap_or_default(), version))
    }
}

impl Fold for Statistics {
    type Event = IgnoredAny;
    type Key = &'static str;
    type State = Totals;

    fn name(&self) -> &str {
        Self::NAME
    }

    /// Also changesets without events, and those that can't be read: they are counted too.
    fn subscription(&self) -> Subscription {
        Subscription::default().to_whole_changesets()
    }

    fn key(&self, _: Recorded<'_, IgnoredAny>) -> Option<&'static str> {
        Some(Self::KEY)
    }

    fn fold(&self, totals: Option<Totals>, recorded: Recorded<'_, IgnoredAny>) -> Option<Totals> {
        let totals = totals.unwrap_or_default();
        let length = recorded.changeset_id().get();
        Some(Totals {
            total_streams: totals.total_streams + u64::from(length == 1),
            total_changesets: totals.total_changesets + 1,
            total_events: totals.total_events + recorded.changeset().events.count(),
            max_stream_length: totals.max_stream_length.max(length),
        })
    }
}

#[cfg(test)]
mod tests {
    use ees_projector::testkit::given;
    use ees_store::{Events, Json, Quarantined};
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn three_commits_of_three_events_on_two_streams_are_2_3_9_2() {
        let three = || [json!(1), json!({"type": "x"}), json!(null)];
        let history = given([]).and("a", three()).and("b", three()).and("a", three());
        let totals = Totals { total_streams: 2, total_changesets: 3, total_events: 9, max_stream_length: 2 };
        history.fold(Statistics).await.expect([("all", totals)]);
        history.check_fold(|| Statistics).await;
    }

    #[tokio::test]
    async fn a_changeset_without_readable_events_is_a_changeset() {
        let adopted = |text: &str, count| Events::adopted(Json::parse(text).unwrap(), count);
        let quarantined = Events::quarantine(Quarantined::new("not JSON", "[NaN]", "{}"), 1);
        let history = given([("a", json!(1))])
            .and_stored("a", adopted("[]", 0))
            .and_stored("a", quarantined)
            .and_stored("object", adopted(r#"{"x":1,"y":2}"#, 2))
            .and_stored("text", adopted("\"abc\"", 3));
        let totals = Totals { total_streams: 3, total_changesets: 5, total_events: 7, max_stream_length: 3 };
        history.fold(Statistics).await.expect([("all", totals)]);
        history.check_fold(|| Statistics).await;
    }
}
