//! Reads that go on: Server-Sent Events with the history, and then with what arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use ees_store::http::{ApiKeys, ConnectionLimits, Limits};
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, Events, Expectation,
    LogHead, LogPage, LogQuery, Quarantined, Result, StreamId, StreamPage, StreamQuery, dynamodb, memory,
    postgres,
};
use ees_test_aws::LocalAws;
use ees_test_postgres::TestDatabase;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::following::{Event, Following};
use super::support::{TestServer, exchange, on_every_store, request};

/// Runs a promise against every store there is.
async fn on_all_stores(promise: impl AsyncFn(TestServer)) {
    on_every_store(&promise).await;
    let database = TestDatabase::new().await;
    promise(TestServer::over(postgres::Store::connect(database.url()).await.unwrap()).await).await;
    let account = LocalAws::account().await;
    dynamodb::create_table(&account.sdk_config(), "log", false).await.unwrap();
    let store = dynamodb::Store::open(&account.sdk_config(), "log").await.unwrap();
    promise(TestServer::over(store).await).await;
}

async fn follow(server: &TestServer, target: &str) -> Following {
    follow_after(server, target, &[]).await
}

async fn follow_after(server: &TestServer, target: &str, headers: &[(&str, &str)]) -> Following {
    let following = Following::open(server.address(), target, headers).await;
    assert_eq!(following.head.status, 200, "{:?}", following.head);
    assert_eq!(following.head.header("content-type"), Some("text/event-stream"));
    following
}

/// Waits until the log holds so many changesets: not every store orders them with the commit.
async fn in_log(server: &TestServer, count: u64) {
    let page = server.get(&format!("/changesets?checkpoint={}&wait=20", count - 1)).await;
    assert!(page.text().ends_with(&format!("\"next_checkpoint\":{count}}}")), "{}", page.text());
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().filter_map(|event| event.id).collect()
}

/// How many readers the server counts.
async fn subscribers(server: &TestServer) -> u64 {
    let metrics = server.get("/metrics").await;
    let line = metrics.text().lines().find_map(|line| line.strip_prefix("ees_http_subscribers "));
    line.unwrap().parse().unwrap()
}

async fn until_subscribers(server: &TestServer, count: u64) {
    let counted = async { while subscribers(server).await != count {} };
    tokio::time::timeout(Duration::from_secs(15), counted).await.expect("they are counted");
}

#[tokio::test]
async fn an_event_stream_begins_at_a_time_and_goes_on_at_its_own_place() {
    on_all_stores(async |server| {
        for last in 0..3 {
            server.commit(&format!("/streams/a?expected_last_changeset={last}"), "[1]").await;
        }
        in_log(&server, 3).await;
        let log = server.get("/changesets?include=position").await.json();
        let time = log["changesets"][1]["timestamp"].as_str().unwrap();
        let target = format!("/changesets?since={time}");
        let (begun, following) = follow(&server, &target).await.until("following").await;
        assert_eq!((ids(&begun), following.id), (vec![2, 3], Some(3)));
        let (on, _) =
            follow_after(&server, &target, &[("Last-Event-ID", "2")]).await.until("following").await;
        assert_eq!(ids(&on), [3], "the place of a reader counts more than the time");
        let refused = Following::open(server.address(), "/changesets?since=2999-01-01T00:00:00Z", &[]).await;
        assert_eq!(refused.head.status, 400);
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_of_one_stream_begins_at_a_time() {
    on_all_stores(async |server| {
        for last in 0..3 {
            server.commit(&format!("/streams/a?expected_last_changeset={last}"), "[1,2]").await;
        }
        let stream = server.get("/streams/a/changesets?include=position").await.json();
        let time = stream["changesets"][1]["timestamp"].as_str().unwrap();
        for (resource, wanted, after) in [("changesets", vec![3, 4], "3"), ("events", vec![4, 5, 6, 7], "6")]
        {
            let target = format!("/streams/a/{resource}?since={time}");
            let (begun, following) = follow(&server, &target).await.until("following").await;
            assert_eq!((ids(&begun), following.id), (wanted.clone(), wanted.last().copied()));
            let mut on = follow_after(&server, &target, &[("Last-Event-ID", after)]).await;
            let (on, _) = on.until("following").await;
            assert_eq!(
                ids(&on),
                [*wanted.last().unwrap()],
                "the place of a reader counts more than the time"
            );
            let mut later = follow(&server, &format!("/streams/{resource}/{resource}?since={time}")).await;
            assert_eq!(
                later.event().await.unwrap().name,
                "following",
                "a stream that does not exist may begin later"
            );
            server.commit(&format!("/streams/{resource}"), "[7]").await;
            assert_eq!(later.event().await.unwrap().id, Some(2));
        }
    })
    .await;
}

#[tokio::test]
async fn history_comes_first_and_then_what_arrives() {
    on_all_stores(async |server| {
        server.post("/streams/a", r#"{"events":[1.0,{"b":1,"b":1e400}],"metadata":{"by":"ada"}}"#).await;
        in_log(&server, 1).await;
        server.commit("/streams/b", "[\"\u{2028}\\n\\u0001\"]").await;
        let mut log = follow(&server, "/changesets").await;
        assert_eq!(log.head.header("cache-control"), Some("no-store"));
        assert_eq!(log.block().await.unwrap(), "retry: 1000");
        let first = r#"{"stream_id":"a","changeset_id":1,"events":[1.0,{"b":1,"b":1e400}],"metadata":{"by":"ada"},"checkpoint":0}"#;
        assert_eq!(log.block().await.unwrap(), format!("id: 1\nevent: changeset\ndata: {first}"));
        let second = "{\"stream_id\":\"b\",\"changeset_id\":1,\"events\":[\"\u{2028}\\n\\u0001\"],\"metadata\":{},\"checkpoint\":1}";
        assert_eq!(log.block().await.unwrap(), format!("id: 2\nevent: changeset\ndata: {second}"));
        assert_eq!(log.block().await.unwrap(), "id: 2\nevent: following\ndata: {\"next_checkpoint\":2}");
        for at in 2..5 {
            server.commit(&format!("/streams/s{at}"), &format!("[{at}]")).await;
            let event = log.event().await.unwrap();
            assert_eq!((event.id, event.name.as_str()), (Some(at + 1), "changeset"));
            let want = json!({"stream_id": format!("s{at}"), "changeset_id": 1, "events": [at], "metadata": {}, "checkpoint": at});
            assert_eq!(event.json(), want);
        }
        // One that begins where all is read is told so at once.
        let (events, following) = follow(&server, "/changesets?checkpoint=5&include=position").await.until("following").await;
        assert_eq!((events.len(), following.id), (0, Some(5)));
        let (told, page) = (following.json(), server.get("/changesets?include=position&checkpoint=5").await.json());
        for name in ["next_checkpoint", "head", "log_id", "incarnation"] {
            assert_eq!(told[name], page[name], "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_again_where_it_was_loses_and_repeats_nothing() {
    on_all_stores(async |server| {
        const STREAMS: u64 = 4;
        const EACH: u64 = 30;
        let committing = async {
            for last in 0..EACH {
                for stream in 0..STREAMS {
                    let target = format!("/streams/s{stream}?expected_last_changeset={last}");
                    server.commit(&target, &format!("[{last},{last}]")).await;
                }
            }
        };
        // Each goes away after a few events, at any moment, and comes again with the last id.
        let reading = async |target: &str, wanted: u64| {
            let (mut seen, mut place) = (Vec::new(), String::new());
            while (seen.len() as u64) < wanted {
                let mut following = follow_after(&server, target, &[("Last-Event-ID", &place)]).await;
                for _ in 0..fastrand::usize(1..12) {
                    let event = following.event().await.unwrap();
                    place = event.id.unwrap().to_string();
                    if event.name != "following" {
                        seen.push(event);
                    }
                    if seen.len() as u64 == wanted {
                        break;
                    }
                }
            }
            seen
        };
        let ((), log, changesets, events) = tokio::join!(
            committing,
            reading("/changesets?checkpoint=0", STREAMS * EACH),
            reading("/streams/s1/changesets", EACH),
            reading("/streams/s2/events", 2 * EACH),
        );
        assert_eq!(ids(&log), (1..=STREAMS * EACH).collect::<Vec<_>>());
        assert_eq!(ids(&changesets), (2..=EACH + 1).collect::<Vec<_>>());
        assert_eq!(ids(&events), (2..=2 * EACH + 1).collect::<Vec<_>>());
        let numbers: Vec<_> = events.iter().map(|event| event.json()["data"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..EACH).flat_map(|last| [last, last]).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn the_filters_are_those_of_the_plain_reads() {
    on_all_stores(async |server| {
        let commit = async |stream: &str, stream_type: &str, event_type: &str| {
            let body = format!("{{\"events\":[{{\"type\":\"{event_type}\"}}]}}");
            let headers = [("Stream-Type", stream_type)];
            let target = format!("/streams/{stream}");
            assert_eq!(server.send("POST", &target, &headers, body.as_bytes()).await.status, 200);
            let place = u64::from(stream.as_bytes()[0] - b'a');
            in_log(&server, place + 1).await;
        };
        commit("a", "account", "opened").await;
        commit("b", "order", "opened").await;
        let queries = [
            ("", vec![1, 2, 3, 4, 5]),
            ("stream_type=account", vec![1, 3, 5]),
            ("event_type=opened", vec![1, 2, 5]),
            ("event_type=opened&event_type=closed&stream_type=order", vec![2, 4]),
            ("event_type=x%20y", vec![]),
        ];
        let mut readers = Vec::new();
        for (query, wanted) in queries {
            let mut reader = follow(&server, &format!("/changesets?{query}")).await;
            let (history, following) = reader.until("following").await;
            let before: Vec<_> = wanted.iter().copied().filter(|id| *id <= 2).collect();
            assert_eq!((ids(&history), following.id), (before, Some(2)), "{query}");
            readers.push((reader, wanted));
        }
        commit("c", "account", "closed").await;
        commit("d", "order", "closed").await;
        commit("e", "account", "opened").await;
        for (mut reader, wanted) in readers {
            for id in wanted.into_iter().filter(|id| *id > 2) {
                assert_eq!(reader.event().await.unwrap().id, Some(id));
            }
        }
        let long = "x".repeat(256);
        for (query, code) in [
            (format!("stream_type={long}"), "INVALID_FILTER"),
            ("checkpoint=x".to_owned(), "INVALID_CHECKPOINT"),
            ("include=x".to_owned(), "INVALID_INCLUDE"),
            ("wait=1".to_owned(), "INVALID_WAIT"),
            ("limit=1".to_owned(), "INVALID_LIMIT"),
            ("checkpont=1".to_owned(), "UNKNOWN_PARAMETER"),
        ] {
            let refused = Following::open(server.address(), &format!("/changesets?{query}"), &[]).await.head;
            assert_eq!((refused.status, &refused.json()["error"]), (400, &json!(code)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_wants_nothing_of_what_comes_is_moved_on_all_the_same() {
    let limits = Limits { heartbeat: Duration::from_millis(30), ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let mut reader = follow(&server, "/changesets?event_type=rare").await;
    reader.until("following").await;
    assert_eq!(reader.block().await.unwrap(), ": heartbeat\nid: 0");
    for at in 0..5 {
        server.commit(&format!("/streams/s{at}"), r#"[{"type":"noise"}]"#).await;
    }
    while reader.next().await.unwrap().id != Some(5) {}
    let mut stream = follow(&server, "/streams/s0/events").await;
    stream.until("following").await;
    assert_eq!(stream.block().await.unwrap(), ": heartbeat\nid: 2");
}

#[tokio::test]
async fn a_stream_is_followed_by_changesets_and_by_events_as_it_is_read() {
    on_all_stores(async |server| {
        // Both wait for a stream that is not there yet.
        let mut changesets = follow(&server, "/streams/a%2F1/changesets?include=position").await;
        let mut events = follow(&server, "/streams/a%2F1/events").await;
        assert_eq!(changesets.until("following").await.1.json(), json!({"next": 1}));
        assert_eq!(events.until("following").await.1.json(), json!({"next": 1}));
        server.commit("/streams/other", "[0]").await;
        server.commit("/streams/a%2F1", "[1,2]").await;
        server.commit("/streams/a%2F1?expected_last_changeset=1", "[3]").await;
        let read = server.get("/streams/a%2F1/changesets?include=position").await.json();
        for (at, id) in [(0, 2), (1, 3)] {
            let event = changesets.event().await.unwrap();
            assert_eq!(
                (event.id, event.name.as_str(), event.json()),
                (Some(id), "changeset", read["changesets"][at].clone())
            );
        }
        let read = server.get("/streams/a%2F1/events").await.json();
        for (at, id) in [(0, 2), (1, 3), (2, 4)] {
            let event = events.event().await.unwrap();
            assert_eq!(
                (event.id, event.name.as_str(), event.json()),
                (Some(id), "event", read["events"][at].clone())
            );
        }
        // From within a changeset, and by the event that one holds.
        let (part, end) = follow(&server, "/streams/a%2F1/events?from=2").await.until("following").await;
        assert_eq!((ids(&part), end.id), (vec![3, 4], Some(4)));
        let mut by_event = follow(&server, "/streams/a%2F1/changesets?from_event=3&to_event=4").await;
        let (part, end) = by_event.until("following").await;
        assert_eq!((ids(&part), end.id), (vec![3], Some(3)));
        server.commit("/streams/a%2F1?expected_last_changeset=2", "[4,5]").await;
        let (rest, _) = by_event.until("end").await;
        assert_eq!(ids(&rest), [4]);
        assert_eq!(by_event.next().await, None);
    })
    .await;
}

#[tokio::test]
async fn what_another_server_commits_is_followed_too() {
    let database = TestDatabase::new().await;
    let postgres = async || TestServer::over(postgres::Store::connect(database.url()).await.unwrap()).await;
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    dynamodb::create_table(&config, "log", false).await.unwrap();
    let dynamodb = async || TestServer::over(dynamodb::Store::open(&config, "log").await.unwrap()).await;
    for [one, other] in [[postgres().await, postgres().await], [dynamodb().await, dynamodb().await]] {
        let mut log = follow(&one, "/changesets?event_type=t").await;
        let mut stream = follow(&one, "/streams/s/events").await;
        log.until("following").await;
        stream.until("following").await;
        for last in 0..5 {
            other.commit(&format!("/streams/s?expected_last_changeset={last}"), r#"[{"type":"t"}]"#).await;
            assert_eq!(log.event().await.unwrap().id, Some(last + 1));
            assert_eq!(stream.event().await.unwrap().id, Some(last + 2));
        }
    }
}

#[tokio::test]
async fn a_filter_with_very_many_names_is_one_like_any_other() {
    let server = TestServer::over(memory::Store::new()).await;
    let names: Vec<_> = (0..1_000).map(|at| format!("event_type=t{at}")).collect();
    let mut log = follow(&server, &format!("/changesets?{}", names.join("&"))).await;
    log.until("following").await;
    for (at, name) in ["t0", "other", "t999"].into_iter().enumerate() {
        server.commit(&format!("/streams/s{at}"), &format!("[{{\"type\":\"{name}\"}}]")).await;
    }
    assert_eq!((log.event().await.unwrap().id, log.event().await.unwrap().id), (Some(1), Some(3)));
}

#[tokio::test]
async fn a_range_with_an_end_ends_and_stays_ended() {
    on_every_store(async |server| {
        for (stream, part, first, second) in [
            ("a", "changesets?from=1&to=2", vec![2], vec![3]),
            ("b", "events?from=2&to=3", vec![3], vec![4]),
            ("c", "changesets?from_event=2&to_event=4", vec![2], vec![3]),
        ] {
            let target = format!("/streams/{stream}/{part}");
            server.commit(&format!("/streams/{stream}"), "[1,2]").await;
            let mut reader = follow(&server, &target).await;
            assert_eq!(ids(&reader.until("following").await.0), first);
            server.commit(&format!("/streams/{stream}-other"), "[1]").await;
            server.commit(&format!("/streams/{stream}?expected_last_changeset=1"), "[3,4]").await;
            let (rest, end) = reader.until("end").await;
            assert_eq!(ids(&rest), second);
            assert_eq!(reader.next().await, None, "it ends cleanly");
            assert!(end.id >= rest[0].id);
            let last = rest[0].id.unwrap().to_string();
            let again = Following::open(server.address(), &target, &[("Last-Event-ID", &last)]).await;
            assert_eq!(again.head.status, 204, "a browser does not come again");
        }
    })
    .await;
}

#[tokio::test]
async fn a_changeset_that_can_not_be_read_comes_with_its_text_and_the_reason() {
    let store = Arc::new(memory::Store::new());
    let server = TestServer::with(store.clone(), |api| api).await;
    let bad = |stream: &str| {
        let events = Events::quarantine(Quarantined::new("why", "[\n\"\u{1}\"", "{"), 2);
        store.commit(Commit::new(stream.parse().unwrap(), Expectation::NewStream, events))
    };
    bad("a").await.unwrap();
    let mut log = follow(&server, "/changesets?event_type=any").await;
    log.until("following").await;
    bad("b").await.unwrap();
    let held = json!({"reason": "why", "events": "[\n\"\u{1}\"", "metadata": "{"});
    assert_eq!(log.event().await.unwrap().json()["quarantined"], held);
    let mut events = follow(&server, "/streams/a/events").await;
    let event = events.event().await.unwrap();
    assert_eq!((event.id, event.json()), (Some(3), json!({"id": 2, "data": null, "quarantined": held})));
}

#[tokio::test]
async fn who_asks_for_json_first_gets_json_and_a_wrong_place_is_refused() {
    let limits = Limits { heartbeat: Duration::from_millis(30), ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let accept = [("Accept", "application/json, text/event-stream")];
    let plain = server.send("GET", "/changesets", &accept, b"").await;
    assert_eq!((&plain.json()["next_checkpoint"], plain.header("vary")), (&json!(0), Some("Accept")));
    assert_eq!(follow(&server, "/streams/a/events").await.head.header("vary"), Some("Accept"));
    for place in ["x", "-1", "1.5"] {
        let refused =
            Following::open(server.address(), "/changesets", &[("Last-Event-ID", place)]).await.head;
        refused.refuses_like(400, "INVALID_HEADER", "Last-Event-ID");
    }
    // Far behind the end there is nothing, and it stays so.
    let mut far = follow_after(&server, "/changesets", &[("Last-Event-ID", "18446744073709551616")]).await;
    assert_eq!(far.until("following").await.0, []);
    let mut near = follow(&server, "/changesets").await;
    server.commit("/streams/s", "[1]").await;
    assert_eq!(near.until("changeset").await.1.id, Some(1));
    for _ in 0..3 {
        assert_eq!(far.next().await.unwrap().name, "", "only signs of life");
    }
}

#[tokio::test]
async fn a_reader_whose_part_waits_for_a_slow_one_gets_signs_of_life() {
    const COUNT: u64 = 40;
    let limits =
        Limits { heartbeat: Duration::from_millis(100), answers_bytes: 4 * 1024 * 1024, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let large = format!("[\"{}\"]", "x".repeat(1_000_000));
    for at in 0..COUNT {
        server.commit(&format!("/streams/s{at}"), &large).await;
    }
    // It takes parts until its connection is full, and then holds one that is not written.
    let mut slow = follow(&server, "/changesets").await;
    assert_eq!(slow.event().await.unwrap().id, Some(1));
    let mut reader = follow(&server, "/changesets").await;
    let (mut seen, mut waited) = (Vec::new(), false);
    while !waited {
        let block = reader.block().await.unwrap();
        waited = block == ": waiting for room to send the next part";
        assert!(!block.contains("event: following"), "it waits before it has everything");
        let id = block.lines().find_map(|line| line.strip_prefix("id: "));
        seen.extend(id.map(|id| id.parse::<u64>().unwrap()));
    }
    drop(slow);
    seen.extend(ids(&reader.until("following").await.0));
    assert_eq!(seen, (1..=COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_needs_a_key_that_may_read() {
    let keys = ApiKeys::parse("read:r,commit:c").unwrap();
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_keys(keys)).await;
    for target in ["/changesets", "/streams/s/changesets", "/streams/s/events"] {
        for (key, status) in [("Bearer r", 200), ("Bearer c", 403), ("Bearer revoked", 401)] {
            let reader = Following::open(server.address(), target, &[("Authorization", key)]).await;
            assert_eq!(reader.head.status, status, "{target} {key}");
        }
    }
}

#[tokio::test]
async fn a_reader_whose_key_is_gone_is_cut_off_and_the_others_go_on() {
    let keys = ApiKeys::parse("read:r,read:q,read:s").unwrap();
    let serving = keys.clone();
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_keys(serving)).await;
    let open = async |target, key| Following::open(server.address(), target, &[("Authorization", key)]).await;
    let mut cut_off = [
        open("/changesets", "Bearer r").await,
        open("/streams/s/changesets", "Bearer r").await,
        open("/streams/s/events", "Bearer q").await,
    ];
    let mut stays = open("/changesets", "Bearer s").await;
    for reader in cut_off.iter_mut().chain([&mut stays]) {
        reader.until("following").await;
    }
    // One key is gone, and one has lost the right to read.
    keys.replace(&ApiKeys::parse("commit:q,read:s,admin:a").unwrap());
    for reader in &mut cut_off {
        assert!(reader.event().await.is_none());
    }
    let committer = [("Authorization", "Bearer q")];
    assert_eq!(server.send("POST", "/streams/s", &committer, br#"{"events":[1]}"#).await.status, 200);
    assert_eq!(stays.event().await.unwrap().id, Some(1));
    assert_eq!(open("/changesets", "Bearer r").await.head.status, 401);
}

#[tokio::test]
async fn readers_are_counted_apart_and_leave_their_place_when_they_go() {
    let limits = Limits { subscribers: 2, requests: 1, waiting_requests: 1, ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let mut readers = [follow(&server, "/changesets").await, follow(&server, "/streams/s/events").await];
    for reader in &mut readers {
        reader.until("following").await;
    }
    until_subscribers(&server, 2).await;
    let refused = Following::open(server.address(), "/changesets", &[]).await.head;
    refused.refuses_like(503, "OVERLOADED", "Try again");
    assert_eq!(server.get("/version").await.status, 200);
    server.commit("/streams/s", "[1]").await;
    assert_eq!(server.get("/changesets?wait=0.01").await.status, 200);
    drop(readers);
    until_subscribers(&server, 0).await;
    follow(&server, "/changesets").await.until("following").await;
}

#[tokio::test]
async fn time_for_an_ordinary_answer_does_not_end_an_event_stream() {
    let limits = Limits { answer_time: Duration::from_millis(50), ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let mut reader = follow(&server, "/changesets").await;
    reader.until("following").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.commit("/streams/s", "[1]").await;
    assert_eq!(reader.event().await.unwrap().id, Some(1));
}

#[tokio::test]
async fn readers_are_let_go_cleanly_when_the_server_stops() {
    let mut server = TestServer::over(memory::Store::new()).await;
    server.commit("/streams/s", "[1]").await;
    let mut log = follow(&server, "/changesets").await;
    let mut stream = follow(&server, "/streams/s/events").await;
    for reader in [&mut log, &mut stream] {
        reader.until("following").await;
    }
    server.stop();
    for reader in [&mut log, &mut stream] {
        assert_eq!(reader.next().await, None, "the last chunk, and no event");
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_cut_off_and_goes_on_where_it_was() {
    const COUNT: u64 = 40;
    let limits = ConnectionLimits { answer_time: Duration::from_millis(200), ..ConnectionLimits::default() };
    let bytes = Limits { answers_bytes: 4 * 1024 * 1024, ..Limits::default() };
    let store = Arc::new(memory::Store::new());
    let server = TestServer::limited(store, limits, |api| api.with_limits(bytes)).await;
    let large = format!("[\"{}\"]", "x".repeat(900_000));
    for at in 0..COUNT / 2 {
        server.commit(&format!("/streams/s{at}"), &large).await;
    }
    let mut slow = follow(&server, "/changesets").await;
    assert_eq!(slow.event().await.unwrap().id, Some(1));
    // It reads no more: what it is sent has a bound, and then it has to go.
    until_subscribers(&server, 1).await;
    for at in COUNT / 2..COUNT {
        server.commit(&format!("/streams/s{at}"), &large).await;
    }
    until_subscribers(&server, 0).await;
    let mut again = follow_after(&server, "/changesets", &[("Last-Event-ID", "1")]).await;
    let (events, _) = again.until("following").await;
    assert_eq!(ids(&events), (2..=COUNT).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_browser_that_goes_away_is_noticed() {
    let server = TestServer::over(memory::Store::new()).await;
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let asked = request("GET", "/changesets", &[("Accept", "text/event-stream")], b"");
    connection.write_all(&asked).await.unwrap();
    until_subscribers(&server, 1).await;
    drop(connection);
    until_subscribers(&server, 0).await;
}

#[tokio::test]
async fn where_answers_are_sent_whole_there_are_no_event_streams() {
    let server = TestServer::with_escaped_answers().await;
    for target in ["/changesets", "/streams/s/changesets", "/streams/s/events"] {
        let asked = request("GET", target, &[("Accept", "text/event-stream")], b"");
        exchange(server.address(), &asked).await.refuses_like(406, "NOT_ACCEPTABLE", "wait");
    }
}

/// A store that can't be read at times.
struct Moody(memory::Store, AtomicBool);

impl Moody {
    fn check(&self) -> Result<()> {
        if self.1.load(SeqCst) { Err(Error::Unavailable("not now".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl EventStore for Moody {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.0.commit(commit).await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        self.check()?;
        self.0.read_stream(query).await
    }
}

#[async_trait]
impl ChangesetLog for Moody {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.check()?;
        let page = self.0.read(query.with_wait(Duration::from_millis(20))).await?;
        self.check()?;
        Ok(page)
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.0.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.check()?;
        self.0.head().await
    }
}

#[tokio::test]
async fn readers_stay_while_the_store_is_away_and_miss_nothing() {
    let limits = Limits { heartbeat: Duration::from_millis(30), ..Limits::default() };
    let store = Arc::new(Moody(memory::Store::new(), AtomicBool::new(true)));
    let server = TestServer::with(store.clone(), |api| api.with_limits(limits)).await;
    for target in ["/changesets", "/streams/s/events"] {
        let refused = Following::open(server.address(), target, &[]).await.head;
        refused.refuses_like(503, "UNAVAILABLE", "Try again");
    }
    store.1.store(false, SeqCst);
    server.commit("/streams/s", "[1]").await;
    let mut readers = [follow(&server, "/changesets").await, follow(&server, "/streams/s/events").await];
    for reader in &mut readers {
        assert_eq!(ids(&reader.until("following").await.0).len(), 1);
    }
    store.1.store(true, SeqCst);
    for last in 1..4 {
        server.commit(&format!("/streams/s?expected_last_changeset={last}"), "[1]").await;
    }
    for reader in &mut readers {
        for _ in 0..3 {
            assert_eq!(reader.next().await.unwrap().name, "", "only signs of life");
        }
    }
    store.1.store(false, SeqCst);
    for (reader, first) in readers.iter_mut().zip([2, 3]) {
        for at in 0..3 {
            assert_eq!(reader.event().await.unwrap().id, Some(first + at));
        }
    }
}
