//! Broken connections, busy servers, and servers that are none.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_store::client::Client;
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, LogQuery, Refusal, StreamQuery,
    memory,
};
use serde_json::Value;

use super::proxy::{Proxy, Turn};
use super::serving::Served;

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 13\r\n\r\n<html></html>";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
const SOMETHING_ELSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>";
const NO_SUCH_METHOD: &str = "HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n";
const NOWHERE: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
/// Of API Gateway.
const NO_SUCH_ROUTE: &str = "HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: MissingAuthenticationTokenException\r\n\
    content-length: 42\r\n\r\n{\"message\":\"Missing Authentication Token\"}";
const TOO_LARGE: &str = "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n";
const FAILED: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
const MOVED: &str = "HTTP/1.1 301 Moved Permanently\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";

fn commit() -> Commit {
    Commit::new("a".parse().unwrap(), Expectation::NewStream, Events::parse("[1]").unwrap())
}

async fn stored(served: &Served<memory::Store>) -> u64 {
    served.store.head().await.unwrap().checkpoint.get()
}

/// Nobody listens there.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_stored_once() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::LoseAnswer, Turn::CutAnswer]).await;
    let client = Client::new(&proxy.url()).unwrap();
    let committed = client.commit(commit()).await.unwrap();
    assert_eq!((committed.changeset_id.get(), committed.checkpoint), (1, Some(Checkpoint::START)));
    assert_eq!((proxy.requests(), stored(&served).await), (3, 1));
}

#[tokio::test]
async fn a_commit_keeps_its_own_key_when_it_is_sent_again() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::LoseAnswer]).await;
    let keyed = commit().with_idempotency_key("mine".parse().unwrap());
    Client::new(&proxy.url()).unwrap().commit(keyed.clone()).await.unwrap();
    let repeat = served.store.commit(keyed).await.unwrap();
    assert_eq!((repeat.changeset_id.get(), stored(&served).await), (1, 1));
}

/// Several commits, to streams of their own.
fn commits() -> Vec<Commit> {
    let of = |n: u64| {
        let stream_id = format!("s{n}").parse().unwrap();
        Commit::new(stream_id, Expectation::NewStream, Events::parse("[1]").unwrap())
    };
    (0..10).map(of).collect()
}

/// Commits all of them, and returns how many are stored by now.
async fn commit_all(client: &Client, served: &Served<memory::Store>) -> u64 {
    let verdicts = client.commit_in_order(commits()).await;
    assert_eq!(verdicts.len(), 10);
    stored(served).await
}

#[tokio::test]
async fn commits_sent_together_whose_answer_was_lost_are_stored_once() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::LoseAnswer, Turn::CutAnswer]).await;
    let client = Client::new(&proxy.url()).unwrap();
    let verdicts = client.commit_in_order(commits()).await;
    assert!(verdicts.iter().all(|verdict| verdict.as_ref().unwrap().changeset_id.get() == 1));
    assert_eq!((proxy.requests(), stored(&served).await), (3, 10));
}

/// Such as one of another system, or of an older version.
#[tokio::test]
async fn a_server_that_takes_no_commits_together_gets_them_one_by_one() {
    for refusal in [NO_SUCH_METHOD, NOWHERE, NO_SUCH_ROUTE] {
        let served = Served::new().await;
        let proxy = Proxy::new(served.address, [Turn::Answer(refusal)]).await;
        let client = Client::new(&proxy.url()).unwrap();
        assert_eq!(commit_all(&client, &served).await, 10);
        assert_eq!(proxy.requests(), 11);
        commit_all(&client.clone(), &served).await;
        assert_eq!(proxy.requests(), 21, "it is not asked again");
    }
}

#[tokio::test]
async fn commits_that_are_refused_as_a_whole_are_sent_one_by_one() {
    for refusal in [TOO_LARGE, FAILED] {
        let served = Served::new().await;
        let proxy = Proxy::new(served.address, [Turn::Answer(refusal)]).await;
        let client = Client::new(&proxy.url()).unwrap();
        assert_eq!(commit_all(&client, &served).await, 10);
        assert_eq!(proxy.requests(), 11);
        commit_all(&client, &served).await;
        assert_eq!(proxy.requests(), 12, "the next ones are sent together");
    }
}

#[tokio::test]
async fn commits_sent_together_share_the_failure_of_their_request() {
    let client = Client::builder(&nowhere().await).retries(0).build().unwrap();
    for verdict in client.commit_in_order(commits()).await {
        assert!(matches!(verdict, Err(Error::Unavailable(_))), "{verdict:?}");
    }
    let served =
        Served::with(memory::Store::new(), |api| api.with_keys("read:reader".parse().unwrap())).await;
    let proxy = Proxy::new(served.address, []).await;
    let with_key = |key: &str| Client::builder(&proxy.url()).api_key(key).build().unwrap();
    for verdict in with_key("nobody").commit_in_order(commits()).await {
        assert!(matches!(verdict, Err(Error::Unauthorized)), "{verdict:?}");
    }
    for verdict in with_key("reader").commit_in_order(commits()).await {
        assert!(matches!(verdict, Err(Error::Forbidden(_))), "{verdict:?}");
    }
    assert_eq!(proxy.requests(), 2, "a wrong key is not tried ten times");
}

/// A server of the older kind that goes away meanwhile is waited for once, not once for each commit.
#[tokio::test]
async fn where_the_server_is_gone_the_other_commits_are_not_tried() {
    let served = Served::new().await;
    let turns = [Turn::Answer(NO_SUCH_METHOD), Turn::Forward, Turn::Answer(BAD_GATEWAY)];
    let proxy = Proxy::new(served.address, turns).await;
    let client = Client::builder(&proxy.url()).retries(0).build().unwrap();
    let verdicts = client.commit_in_order(commits()).await;
    let stored = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    let unknown = verdicts.iter().filter(|verdict| matches!(verdict, Err(Error::Unavailable(_)))).count();
    assert_eq!((stored, unknown, proxy.requests()), (1, 9, 3));
}

#[tokio::test]
async fn an_answer_to_commits_sent_together_that_is_none_is_noticed() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::Answer(SOMETHING_ELSE)]).await;
    for verdict in Client::new(&proxy.url()).unwrap().commit_in_order(commits()).await {
        let error = verdict.unwrap_err().to_string();
        assert!(error.contains("does not answer as ees does"), "{error}");
    }
}

#[tokio::test]
async fn two_commits_without_keys_are_two_commits() {
    let served = Served::new().await;
    let client = Client::new(&served.url()).unwrap();
    client.commit(commit()).await.unwrap();
    let again = client.commit(commit()).await.unwrap_err();
    assert_eq!(again.code(), "OPTIMISTIC_CONCURRENCY_EXCEPTION");
}

#[tokio::test]
async fn a_page_that_broke_off_is_read_again() {
    let served = Served::new().await;
    served.store.commit(commit()).await.unwrap();
    let proxy = Proxy::new(served.address, [Turn::CutAnswer, Turn::LoseAnswer]).await;
    let client = Client::new(&proxy.url()).unwrap();
    let page = client.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    assert_eq!((page.changesets.len(), proxy.requests()), (1, 3));
}

#[tokio::test]
async fn a_busy_server_is_asked_again_no_sooner_than_it_wants() {
    let served = Served::new().await;
    let proxy =
        Proxy::new(served.address, [Turn::Answer(BUSY), Turn::Answer(BAD_GATEWAY), Turn::Answer(TOO_MANY)])
            .await;
    let began = Instant::now();
    Client::new(&proxy.url()).unwrap().commit(commit()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "it asked for a second: {:?}", began.elapsed());
    assert_eq!((proxy.requests(), stored(&served).await), (4, 1));
}

#[tokio::test]
async fn trying_again_ends() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::Answer(BAD_GATEWAY); 9]).await;
    let client = Client::builder(&proxy.url()).retries(2).build().unwrap();
    let error = client.commit(commit()).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains(&proxy.url())), "{error}");
    assert_eq!(proxy.requests(), 3);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, []).await;
    let client = Client::new(&proxy.url()).unwrap();
    let ahead = commit().expecting(Expectation::LastChangeset(7.into()));
    assert_eq!(client.commit(ahead).await.unwrap_err().code(), "INVALID_EXPECTED_CHANGESET_ID");
    let missing = client.read_stream(StreamQuery::all("a".parse().unwrap())).await.unwrap_err();
    assert!(matches!(missing, Error::StreamNotFound(_)));
    assert_eq!(proxy.requests(), 2);
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_sent_again() {
    let served = Served::new().await;
    for turn in [Turn::LoseAnswer, Turn::Answer(BUSY)] {
        let proxy = Proxy::new(served.address, [turn]).await;
        let client = Client::new(&proxy.url()).unwrap();
        let error = client.post_json::<_, Value>("/streams/a", &Value::Null).await.unwrap_err();
        assert!(matches!(error.error, Error::Unavailable(_)), "{error}");
        assert_eq!(proxy.requests(), 1);
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_named() {
    let url = nowhere().await;
    let client = Client::builder(&url).retries(1).build().unwrap();
    for error in [
        client.commit(commit()).await.unwrap_err(),
        client.head().await.unwrap_err(),
        client.post_json::<_, Value>("/x", &Value::Null).await.unwrap_err().into(),
    ] {
        assert!(
            matches!(&error, Error::Unavailable(why) if why.contains(&url) && why.contains("refused")),
            "{error}"
        );
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::Silence]).await;
    let timeout = Duration::from_millis(100);
    let client = Client::builder(&proxy.url()).timeout(timeout).retries(0).build().unwrap();
    let error = client.version().await.unwrap_err();
    assert!(
        matches!(&error.error, Error::Unavailable(why) if why.contains("no answer within 100ms")),
        "{error}"
    );
}

#[tokio::test]
async fn a_long_wait_is_not_cut_off_by_the_timeout() {
    let served = Served::new().await;
    let client =
        Client::builder(&served.url()).timeout(Duration::from_millis(300)).retries(0).build().unwrap();
    let wait = Duration::from_secs(1);
    let page = client.read(LogQuery::from(Checkpoint::START, 10).with_wait(wait)).await.unwrap();
    assert!(page.changesets.is_empty());
}

#[tokio::test]
async fn a_server_of_something_else_is_noticed() {
    let served = Served::new().await;
    let proxy = Proxy::new(served.address, [Turn::Answer(SOMETHING_ELSE), Turn::Answer(MOVED)]).await;
    let client = Client::new(&proxy.url()).unwrap();
    let error = client.head().await.unwrap_err();
    assert!(
        matches!(&error, Error::InvalidRequest(why) if why.contains("does not answer as ees does")),
        "{error}"
    );
    let error = client.commit(commit()).await.unwrap_err();
    assert!(matches!(&error, Error::InvalidRequest(why) if why.contains("301")), "{error}");
}

#[tokio::test]
async fn each_retry_is_reported_until_the_time_for_retries_is_over() {
    let url = nowhere().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let limit = Duration::from_millis(1_500);
    let builder = Client::builder(&url).retries(usize::MAX).retry_for(limit);
    let reported = seen.clone();
    let builder = builder.on_retry(move |retry| {
        assert!(retry.why.contains("refused") && retry.elapsed + retry.pause <= limit, "{retry:?}");
        reported.lock().unwrap().push(retry.elapsed);
    });
    let started = Instant::now();
    let error = builder.build().unwrap().version().await.unwrap_err();
    assert!(error.error.is_transient() && error.body.is_none(), "{error}");
    assert!(started.elapsed() < limit + Duration::from_secs(1));
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && seen.is_sorted(), "{seen:?}");
}

#[tokio::test]
async fn a_refusal_keeps_the_whole_answer() {
    let served = Served::new().await;
    let client = Client::new(&served.url()).unwrap();
    client.commit(commit()).await.unwrap();
    let refused = client.try_commit(&commit()).await.unwrap_err();
    assert!(matches!(refused.error, Error::Refused(Refusal::Conflict { .. })), "{refused}");
    let body: Value = refused.body.unwrap().read().unwrap();
    assert_eq!(body["forthcoming_changesets"][0]["changeset_id"], 1);
    let missing = client.get_json::<Value>("/streams/none/events").await.unwrap_err();
    assert_eq!(missing.body.unwrap().read::<Value>().unwrap()["stream_id"], "none");
}
