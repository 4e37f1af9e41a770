//! `GET /streams`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use ees_store::http::{Statistics, StatisticsSource};
use ees_store::{ChangesetLog, Checkpoint, LogQuery, Result, memory};
use serde_json::json;

use super::support::{TestServer, on_every_store};

/// Counts anew at each call.
struct Counting(Arc<memory::Store>);

#[async_trait]
impl StatisticsSource for Counting {
    async fn statistics(&self) -> Result<Statistics> {
        let page = self.0.read(LogQuery::from(Checkpoint::START, 1_000)).await?;
        let mut lengths = HashMap::new();
        for changeset in &page.changesets {
            *lengths.entry(changeset.stream_id.clone()).or_insert(0_u64) += 1;
        }
        Ok(Statistics {
            total_streams: lengths.len() as u64,
            total_changesets: page.changesets.len() as u64,
            total_events: page.changesets.iter().map(|changeset| changeset.events.count()).sum(),
            max_stream_length: lengths.into_values().max().unwrap_or(0),
            statistics_version: page.next.get(),
        })
    }
}

fn answer(numbers: [u64; 5]) -> serde_json::Value {
    let [total_streams, total_changesets, total_events, max_stream_length, statistics_version] = numbers;
    json!({
        "total_streams": total_streams, "total_changesets": total_changesets, "total_events": total_events,
        "max_stream_length": max_stream_length, "statistics_version": statistics_version,
    })
}

#[tokio::test]
async fn statistics_are_what_the_read_model_counted() {
    let store = Arc::new(memory::Store::new());
    let counting = Arc::new(Counting(store.clone()));
    let server = TestServer::with(store, |api| api.with_statistics(counting)).await;
    server.get("/streams").await.is(200, &answer([0, 0, 0, 0, 0]));
    server.commit("/streams/a", "[1,2,3]").await;
    server.commit("/streams/b", "[1,2,3]").await;
    server.commit("/streams/a?expected_last_changeset=1", "[1,2,3]").await;
    server.get("/streams").await.is(200, &answer([2, 3, 9, 2, 3]));
}

#[tokio::test]
async fn where_nothing_is_counted_no_zeros_are_told() {
    on_every_store(async |server| {
        server.commit("/streams/a", "[1]").await;
        server.get("/streams").await.refuses_like(404, "STATISTICS_NOT_FOUND", "no statistics projection");
    })
    .await;
}

#[tokio::test]
async fn with_a_slash_it_is_a_stream_without_an_id() {
    on_every_store(async |server| {
        let body = json!({"error": "MISSING_STREAM_ID", "message": "stream_id is a required value"});
        server.get("/streams/").await.is(400, &body);
        server.get("/streams/?pp=false").await.is(400, &body);
    })
    .await;
}
