//! `GET /stream-list`: what is asked of its source, and what is answered.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ees_store::http::StreamListSource;
use ees_store::{
    Checkpoint, ListedStream, Result, StreamListOrder, StreamListPage, StreamListQuery, Timestamp, memory,
};
use serde_json::json;

use super::support::{TestServer, on_every_store};

/// Remembers what it was asked, and answers with these streams.
#[derive(Default)]
struct Listing {
    asked: Mutex<Option<StreamListQuery>>,
    streams: Vec<ListedStream>,
    is_missing: bool,
}

#[async_trait]
impl StreamListSource for Listing {
    async fn streams(&self, query: StreamListQuery) -> Result<Option<StreamListPage>> {
        let next = self.streams.last().map(|last| last.place(query.order));
        *self.asked.lock().unwrap() = Some(query);
        let page = StreamListPage { streams: self.streams.clone(), next, checkpoint: Checkpoint::new(3) };
        Ok((!self.is_missing).then_some(page))
    }
}

fn stream(stream_id: &str, changesets: u64) -> ListedStream {
    ListedStream {
        stream_id: stream_id.to_owned(),
        stream_type: None,
        changesets,
        events: 2 * changesets,
        first_commit: Timestamp::from_micros(5),
        last_commit: Timestamp::from_micros(6),
    }
}

async fn serving(listing: Listing) -> (TestServer, Arc<Listing>) {
    let listing = Arc::new(listing);
    let source = listing.clone();
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_stream_list(source)).await;
    (server, listing)
}

#[tokio::test]
async fn a_page_has_the_streams_and_where_to_go_on_and_how_far_the_list_is() {
    let typed = ListedStream { stream_type: Some("account".parse().unwrap()), ..stream("b", 1) };
    let (server, listing) =
        serving(Listing { streams: vec![stream("a \"\u{202e}", 7), typed], ..Listing::default() }).await;
    server.commit("/streams/a", "[1]").await;
    let entry = |id: &str, stream_type: Option<&str>, changesets: u64| {
        json!({"stream_id": id, "stream_type": stream_type, "changesets": changesets, "events": 2 * changesets,
            "first_commit": "1970-01-01T00:00:00.000005Z", "last_commit": "1970-01-01T00:00:00.000006Z"})
    };
    let streams = json!([entry("a \"\u{202e}", None, 7), entry("b", Some("account"), 1)]);
    let page = json!({"streams": streams, "next": "0:b", "checkpoint": 3, "head": 1});
    server.get("/stream-list").await.is(200, &page);
    let asked = listing.asked.lock().unwrap().take().unwrap();
    assert_eq!(asked, StreamListQuery { limit: 100, ..StreamListQuery::default() });

    server.get("/stream-list?order=longest&stream_type=a%20b&after=7:x:y&limit=5000").await;
    let asked = listing.asked.lock().unwrap().take().unwrap();
    assert_eq!((asked.order, asked.limit), (StreamListOrder::Longest, 1_000));
    assert_eq!(asked.stream_type.unwrap().as_str(), "a b");
    let after = asked.after.unwrap();
    assert_eq!((after.rank, after.stream_id.as_str()), (7, "x:y"));

    server.get("/stream-list?prefix=account%2F").await;
    assert_eq!(listing.asked.lock().unwrap().take().unwrap().prefix, "account/");
}

#[tokio::test]
async fn a_page_that_is_too_long_is_cut_and_says_where_the_rest_begins() {
    let long = |number: u64| stream(&format!("{number:04}{}", "\u{1}".repeat(1_000)), 1);
    let (server, _) =
        serving(Listing { streams: (0..1_000).map(long).collect(), ..Listing::default() }).await;
    let answer = server.get("/stream-list?limit=1000").await;
    assert!(answer.text().len() <= 4 * 1024 * 1024);
    let page = answer.json();
    let streams = page["streams"].as_array().unwrap();
    assert!((500..999).contains(&streams.len()), "{}", streams.len());
    assert_eq!(page["next"], format!("0:{}", streams.last().unwrap()["stream_id"].as_str().unwrap()));
}

#[tokio::test]
async fn what_can_not_be_listed_is_refused() {
    let (server, _) = serving(Listing::default()).await;
    for (query, code, part) in [
        ("order=shortest", "INVALID_ORDER", "id, longest or newest"),
        ("order=longest&prefix=a", "INVALID_ORDER", "Leave out"),
        ("after=nonsense", "INVALID_AFTER", "`next`"),
        ("after=1:", "INVALID_AFTER", "`next`"),
        ("after=1:%00", "INVALID_AFTER", "`next`"),
        ("limit=0", "INVALID_LIMIT", "greater than 0"),
        ("prefix=a%00", "INVALID_PREFIX", "control characters"),
        ("stream_type=a%0A", "INVALID_FILTER", "control characters"),
        ("prefx=a", "UNKNOWN_PARAMETER", "prefix"),
    ] {
        server.get(&format!("/stream-list?{query}")).await.refuses_like(400, code, part);
    }
}

#[tokio::test]
async fn where_there_is_no_catalogue_or_it_is_being_built_that_is_told() {
    on_every_store(async |server| {
        server.get("/stream-list").await.refuses_like(404, "STREAM_LIST_NOT_FOUND", "no stream catalogue");
    })
    .await;
    let (server, _) = serving(Listing { is_missing: true, ..Listing::default() }).await;
    server.get("/stream-list").await.refuses_like(503, "STREAM_LIST_NOT_READY", "being built");
}
