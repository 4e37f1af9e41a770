//! What the client says and hears beyond the laws.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::map_request;
use ees_store::client::Client;
use ees_store::http::{Api, Limits, Server};
use ees_store::{
    Changeset, ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, Filter, LogEntry,
    LogQuery, StreamQuery, memory, pages,
};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::serving::Served;

fn commit_after(last: u64) -> Commit {
    let expectation = Expectation::LastChangeset(last.into());
    Commit::new("a".parse().unwrap(), expectation, Events::parse("[1]").unwrap())
}

#[tokio::test]
async fn a_key_is_sent_and_what_it_lacks_is_told() {
    let served = Served::with(memory::Store::new(), |api| {
        api.with_keys("read:reader,read+commit:writer".parse().unwrap())
    })
    .await;
    let with_key = |key: &str| Client::builder(&served.url()).api_key(key).build().unwrap();
    with_key("writer").commit(commit_after(0)).await.unwrap();
    assert_eq!(with_key("reader").head().await.unwrap().checkpoint.get(), 1);

    let forbidden = with_key("reader").commit(commit_after(1)).await.unwrap_err();
    assert!(matches!(&forbidden, Error::Forbidden(why) if why.contains("commit")), "{forbidden}");
    assert!(matches!(with_key("nobody").head().await, Err(Error::Unauthorized)));
    assert!(matches!(Client::new(&served.url()).unwrap().head().await, Err(Error::Unauthorized)));
}

/// A client of this API, and the number of calls that have arrived.
async fn counted(api: Api) -> (Client, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let router = api.router().layer(map_request(move |request: Request| {
        counted.fetch_add(1, SeqCst);
        async { request }
    }));
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", server.local_addr().unwrap())).unwrap();
    tokio::spawn(server.serve(router, std::future::pending()));
    (client, calls)
}

#[tokio::test]
async fn the_place_of_a_time_takes_one_call() {
    let store = Arc::new(memory::Store::new());
    for last in 0..40 {
        store.commit(commit_after(last)).await.unwrap();
    }
    let (client, calls) = counted(Api::new(store.clone(), store.clone())).await;
    let page = store.read(LogQuery::from(Checkpoint::new(17), 1)).await.unwrap();
    let found = client.checkpoint_at(page.changesets[0].timestamp).await.unwrap();
    assert_eq!((found.get(), calls.load(SeqCst)), (17, 1));
}

#[tokio::test]
async fn the_rest_of_the_api_is_within_reach() {
    let served = Served::new().await;
    let client = Client::new(&format!("{}/", served.url())).unwrap();
    assert_eq!(client.version().await.unwrap(), env!("CARGO_PKG_VERSION"));
    let uncounted = client.statistics().await.unwrap_err().error;
    assert!(
        matches!(&uncounted, Error::Answered { code, .. } if code == "STATISTICS_NOT_FOUND"),
        "{uncounted}"
    );
    let committed: Value =
        client.post_json("/streams/a%2Fb", &serde_json::json!({"events": [1]})).await.unwrap();
    assert_eq!(committed, serde_json::json!({"stream_id": "a/b", "changeset_id": 1}));
    let page: Value = client.get_json("/changesets?limit=1").await.unwrap();
    assert_eq!(page["next_checkpoint"], 1);
    let nowhere = client.get_json::<Value>("/nowhere").await.unwrap_err();
    let told = format!("{} answered 404: Invalid endpoint, for /nowhere", served.url());
    assert!(matches!(&nowhere.error, Error::InvalidRequest(why) if *why == told), "{nowhere}");
    let slash = client.get_json::<Value>("/streams/a/b/events").await.unwrap_err();
    let told = "for /streams/a/b/events. In a path, a slash in a stream id is written as %2F";
    assert!(matches!(&slash.error, Error::InvalidRequest(why) if why.ends_with(told)), "{slash}");
}

/// Such as a function, where each second of a request is paid.
#[tokio::test]
async fn a_client_that_is_not_held_for_long_pauses_before_it_asks_again() {
    let store = Arc::new(memory::Store::new());
    let limits = Limits { wait: Duration::from_millis(20), ..Limits::default() };
    let (client, calls) = counted(Api::new(store.clone(), store).with_limits(limits)).await;
    let (wait, started) = (Duration::from_secs(1), Instant::now());
    let page = client.read(LogQuery::from(Checkpoint::START, 10).with_wait(wait)).await.unwrap();
    assert!(page.changesets.is_empty() && started.elapsed() >= wait, "{:?}", started.elapsed());
    assert_eq!(calls.load(SeqCst), 2, "once before the pause, once at the end");
}

#[tokio::test]
async fn pages_are_turned_by_themselves() {
    let served = Served::new().await;
    let client = Client::new(&served.url()).unwrap();
    let commits = (0..2_500).map(commit_after).collect();
    assert!(served.store.commit_in_order(commits).await.iter().all(Result::is_ok));

    let stream = StreamQuery::all("a".parse().unwrap()).with_limit(400);
    let stream: Vec<Changeset> = pages::stream_changesets(&client, stream).try_collect().await.unwrap();
    let log = LogQuery::from(Checkpoint::START, usize::MAX);
    let log: Vec<LogEntry> = pages::log_changesets(&client, log).try_collect().await.unwrap();
    assert_eq!(log.len(), 2_500);
    assert!(log.iter().map(|it| &it.changeset).eq(&stream));
}

#[tokio::test]
async fn following_gives_what_is_there_and_what_arrives() {
    let served = Served::new().await;
    let client = Client::new(&served.url()).unwrap();
    served.store.commit(commit_after(0)).await.unwrap();
    let mut followed = std::pin::pin!(pages::follow(&client, LogQuery::from(Checkpoint::START, 10)));
    assert_eq!(followed.next().await.unwrap().unwrap().next.get(), 1);
    let (page, committed) = tokio::join!(followed.next(), served.store.commit(commit_after(1)));
    let page = page.unwrap().unwrap();
    assert_eq!(Some(page.changesets[0].checkpoint), committed.unwrap().checkpoint);
}

#[tokio::test]
async fn a_wait_longer_than_the_server_takes_is_asked_for_in_parts() {
    let served = Served::new().await;
    let client = Client::new(&served.url()).unwrap();
    let query = LogQuery::from(Checkpoint::START, 10).with_wait(Duration::MAX);
    let (page, committed) = tokio::join!(client.read(query), served.store.commit(commit_after(0)));
    assert_eq!((page.unwrap().changesets.len(), committed.unwrap().changeset_id.get()), (1, 1));
}

#[tokio::test]
async fn what_the_wire_can_not_carry_is_refused_before_it_is_sent() {
    let client = Client::new("http://127.0.0.1:1").unwrap();
    let typed = commit_after(0).with_stream_type(" a".parse().unwrap());
    let nameless = LogQuery::from(Checkpoint::START, 1).with_filter(Filter::event_types([""]));
    for error in [client.commit(typed).await.unwrap_err(), client.read(nameless).await.unwrap_err()] {
        assert!(matches!(error, Error::InvalidRequest(_)), "{error}");
    }
}
