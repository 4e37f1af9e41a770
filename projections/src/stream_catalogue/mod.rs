//! A list of all streams.

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
mod reading;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod statement;

use ees_projector::read_model::{Column, ColumnType};
use ees_projector::{Fold, Order, Recorded, Subscription, Table};
use ees_store::{StreamType, Timestamp};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// Keeps a row for each stream: its type, its length, and the times of its first and last commit. The key is
/// the stream id. The server's `GET /stream-list` reads it.
///
/// It needs only the order within each stream, so it can be split into partitions.
pub struct StreamCatalogue;

/// The row of a stream in [`StreamCatalogue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// The type that the first commit gave to the stream.
    pub stream_type: Option<StreamType>,
    /// The number of its changesets.
    pub changesets: u64,
    /// The number of its events.
    pub events: u64,
    /// The time of its first commit.
    pub first_commit: Timestamp,
    /// The time of its last commit.
    pub last_commit: Timestamp,
}

impl StreamCatalogue {
    /// The name of the projection and of its table.
    pub const NAME: &str = "stream_catalogue";

    /// The columns of [`CatalogueEntry`], and an index for each order in which streams are listed.
    fn columns() -> Table {
        let column = Column::new;
        Table::new(Self::NAME, column("stream_id", ColumnType::Text).sorted_by_bytes())
            .with_column(column("stream_type", ColumnType::Text).nullable().sorted_by_bytes())
            .with_column(column("changesets", ColumnType::BigInt))
            .with_column(column("events", ColumnType::BigInt))
            .with_column(column("first_commit", ColumnType::Timestamp))
            .with_column(column("last_commit", ColumnType::Timestamp))
            .with_index(["changesets", "stream_id"])
            .with_index(["first_commit", "stream_id"])
            .with_index(["stream_type", "stream_id"])
            .with_index(["stream_type", "changesets", "stream_id"])
            .with_index(["stream_type", "first_commit", "stream_id"])
    }
}

impl Fold for StreamCatalogue {
    type Event = IgnoredAny;
    type Key = String;
    type State = CatalogueEntry;

    fn name(&self) -> &str {
        Self::NAME
    }

    /// 1 kept each row as a JSON document.
    fn version(&self) -> u32 {
        2
    }

    fn table(&self) -> Table {
        Self::columns()
    }

    fn order(&self) -> Order {
        Order::Stream
    }

    /// Also changesets without events, and those that can't be read: their streams are listed too.
    fn subscription(&self) -> Subscription {
        Subscription::default().to_whole_changesets()
    }

    fn key(&self, event: Recorded<'_, IgnoredAny>) -> Option<String> {
        Some(event.stream_id().to_string())
    }

    fn fold(&self, entry: Option<CatalogueEntry>, event: Recorded<'_, IgnoredAny>) -> Option<CatalogueEntry> {
        let first_commit = entry.map_or_else(|| event.timestamp(), |entry| entry.first_commit);
        Some(CatalogueEntry {
            stream_type: event.stream_type().cloned(),
            changesets: event.changeset_id().get(),
            events: event.changeset().last_event_id().get(),
            first_commit,
            last_commit: event.timestamp(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ees_projector::testkit::given;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn each_stream_is_listed_with_its_length() {
        let history = given([("a", json!(1)), ("b/c", json!(2))]).and("a", [json!(3), json!(4)]);
        let rows = history.fold(StreamCatalogue).await.rows;
        let lengths: Vec<_> =
            rows.iter().map(|(stream, entry)| (stream.as_str(), entry.changesets, entry.events)).collect();
        assert_eq!(lengths, [("a", 2, 3), ("b/c", 1, 1)]);
        assert!(rows["a"].first_commit < rows["a"].last_commit);
        history.check_fold(|| StreamCatalogue).await;
    }
}
