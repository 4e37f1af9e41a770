//! The typed-streams contract, line by line.

use std::sync::Arc;

use ees_store::http::ApiKeys;
use ees_store::{Commit, Error, EventStore, Events, Expectation, StreamId, memory};
use serde_json::{Value, json};
use uuid::Uuid;

use super::gate::Failing;
use super::support::{self, Answer, TestServer};

/// The stores that every other route is tested on, and those whose lists by type are of another kind.
async fn on_every_store(promise: impl AsyncFn(TestServer)) {
    support::on_every_store(async |server| promise(server).await).await;
    #[cfg(feature = "postgres")]
    {
        let database = ees_test_postgres::TestDatabase::new().await;
        let store = ees_store::postgres::Store::connect(database.url()).await.unwrap();
        promise(TestServer::over(store).await).await;
    }
    #[cfg(feature = "dynamodb")]
    {
        let config = ees_test_aws::LocalAws::account().await.sdk_config();
        ees_store::dynamodb::create_table(&config, "log", false).await.unwrap();
        let store = ees_store::dynamodb::Store::open(&config, "log").await.unwrap();
        promise(TestServer::over(store).await).await;
    }
}

const OPENED: &str = r#"{"initialEvent":{"eventType":"opened","payload":"{\"owner\":\"ada\"}"}}"#;
const NO_STREAM: &str = "9f86d081-884c-4d65-9a2f-eaa0c55ad015";

fn event(number: u64) -> String {
    json!({"event": {"eventType": "counted", "payload": number.to_string()}}).to_string()
}

/// Begins a stream; what was answered of it.
async fn begin(server: &TestServer, stream_type: &str) -> Value {
    let answer = server.post(&format!("/typed/streams/{stream_type}"), OPENED).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["stream"].clone()
}

fn id(stream: &Value) -> &str {
    stream["streamId"].as_str().unwrap()
}

async fn put(server: &TestServer, path: &str, body: &str) -> Answer {
    server.send("PUT", path, &[], body.as_bytes()).await
}

/// Appends an event at this revision; what was answered of the stream.
async fn append(server: &TestServer, stream: &Value, revision: u64) -> Value {
    let path = format!("/typed/streams/account/{}/events/{revision}", id(stream));
    let answer = put(server, &path, &event(revision)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["stream"].clone()
}

/// The answer is an error in the form of this contract: at 400 `details` names the member, otherwise it is null
/// and the message says more.
#[track_caller]
fn fails(answer: &Answer, status: u16, message: &str, details: &str) {
    let body = answer.json();
    let told = body["message"].as_str().unwrap();
    if status == 400 {
        assert_eq!((answer.status, told), (status, message), "{body}");
        let messages = body["details"]["messages"].as_object().unwrap();
        assert!(messages.keys().any(|member| member.contains(details)), "{body}");
        assert!(messages.values().all(|why| !why[0].as_str().unwrap().is_empty()), "{body}");
    } else {
        assert_eq!((answer.status, told.starts_with(message)), (status, true), "{body}");
        assert!(told.contains(details) && body["details"].is_null(), "{body}");
    }
    let request_id = body["requestId"].as_str().unwrap();
    assert!(Uuid::try_parse(request_id).is_ok(), "{body}");
    assert_eq!(answer.header("x-request-id"), Some(request_id));
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
}

const CONFLICT: &str = "Trying to write based on invalid state. Refetch and try again.";
const NOT_FOUND: &str = "Requested resource not found";

#[tokio::test]
async fn a_new_stream_has_a_uuid_and_revision_1() {
    on_every_store(async |server| {
        let stream = begin(&server, "account%2F%C3%A4").await;
        let uuid = Uuid::try_parse(id(&stream)).unwrap();
        assert_eq!(uuid.to_string(), id(&stream), "in lower case");
        assert_eq!((&stream["streamType"], &stream["revision"]), (&json!("account/ä"), &json!(1)));
        let at = stream["updatedAt"].as_str().unwrap();
        assert!(at.len() == 27 && at.ends_with('Z'), "microseconds, UTC: {at}");
        assert_eq!(stream.as_object().unwrap().len(), 4);
        assert_ne!(begin(&server, "account").await["streamId"], stream["streamId"]);
    })
    .await;
}

#[tokio::test]
async fn an_event_is_appended_at_the_revision_that_comes_next() {
    on_every_store(async |server| {
        let stream = begin(&server, "account").await;
        let second = append(&server, &stream, 2).await;
        assert_eq!((&second["revision"], id(&second)), (&json!(2), id(&stream)));
        assert!(second["updatedAt"].as_str() > stream["updatedAt"].as_str());
        let path = format!("/typed/streams/account/{}/events", id(&stream).to_uppercase());
        assert_eq!(put(&server, &format!("{path}/3"), &event(3)).await.status, 201, "a UUID in any case");
        for revision in ["1", "2", "3", "5", "99999999999999999999"] {
            let refused = put(&server, &format!("{path}/{revision}"), &event(9)).await;
            fails(&refused, 409, CONFLICT, "");
        }
        for path in [
            format!("/typed/streams/order/{}/events/4", id(&stream)),
            format!("/typed/streams/order/{}/events/1", id(&stream)),
            format!("/typed/streams/account/{NO_STREAM}/events/1"),
            format!("/typed/streams/account/{NO_STREAM}/events/2"),
        ] {
            fails(&put(&server, &path, &event(9)).await, 404, NOT_FOUND, "");
        }
        let details = server.get(&format!("/typed/streams/account/{}/details", id(&stream))).await;
        assert_eq!(details.json()["stream"]["revision"], 3);
    })
    .await;
}

#[tokio::test]
async fn of_appends_that_race_one_is_stored_and_the_others_conflict() {
    let server = TestServer::over(memory::Store::new()).await;
    let stream = begin(&server, "account").await;
    let path = format!("/typed/streams/account/{}/events/2", id(&stream));
    let answers = futures::future::join_all((0..8).map(|number| {
        let (server, path) = (&server, &path);
        async move { put(server, path, &event(number)).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    answers.iter().filter(|it| it.status != 201).for_each(|it| fails(it, 409, CONFLICT, ""));
}

#[tokio::test]
async fn events_read_back_with_the_time_that_their_append_answered() {
    on_every_store(async |server| {
        let mut streams = vec![begin(&server, "account").await];
        for revision in 2..=5 {
            streams.push(append(&server, &streams[0], revision).await);
        }
        let path = format!("/typed/streams/account/{}/events", id(&streams[0]));
        let shown = |stream: &Value, event_type: &str, payload: &str| {
            json!({"streamId": stream["streamId"], "revision": stream["revision"], "eventType": event_type,
                "payload": payload, "createdAt": stream["updatedAt"]})
        };
        let mut all = vec![shown(&streams[0], "opened", "{\"owner\":\"ada\"}")];
        all.extend((2..=5).map(|revision| shown(&streams[revision - 1], "counted", &revision.to_string())));
        let page = |events: &[Value], has_more: bool, last: u64| {
            let page = json!({"events": events, "hasMore": has_more, "lastEvaluatedRevision": last});
            json!({"eventPage": page})
        };
        server.get(&path).await.is(200, &page(&all, false, 5));
        server.get(&format!("{path}?after-revision=0")).await.is(200, &page(&all, false, 5));
        server.get(&format!("{path}?after-revision=3")).await.is(200, &page(&all[3..], false, 5));
        server.get(&format!("{path}?after-revision=1&limit=2")).await.is(200, &page(&all[1..3], true, 3));
        server.get(&format!("{path}?after-revision=3&limit=2")).await.is(200, &page(&all[3..], false, 5));
        for beyond in ["5", "6", "99999999999999999999"] {
            server.get(&format!("{path}?after-revision={beyond}")).await.is(200, &page(&[], false, 0));
        }
        let details = server.get(&format!("/typed/streams/account/{}/details", id(&streams[0]))).await;
        details.is(200, &json!({"stream": streams[4]}));
        for path in ["account/9f86d081-884c-4d65-9a2f-eaa0c55ad015", &format!("order/{}", id(&streams[0]))] {
            for what in ["events", "events?after-revision=9", "details"] {
                let path = format!("/typed/streams/{path}/{what}");
                fails(&server.get(&path).await, 404, NOT_FOUND, "");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_of_events_ends_with_what_fits_and_the_next_goes_on() {
    let server = TestServer::over(memory::Store::new()).await;
    let stream = begin(&server, "account").await;
    let large = json!({"event": {"eventType": "large", "payload": "-".repeat(900_000)}}).to_string();
    for revision in 2..=9 {
        let path = format!("/typed/streams/account/{}/events/{revision}", id(&stream));
        assert_eq!(put(&server, &path, &large).await.status, 201);
    }
    let (mut after, mut revisions) = (0, Vec::new());
    loop {
        let path = format!("/typed/streams/account/{}/events?after-revision={after}", id(&stream));
        let page = server.get(&path).await.json()["eventPage"].clone();
        revisions
            .extend(page["events"].as_array().unwrap().iter().map(|it| it["revision"].as_u64().unwrap()));
        after = page["lastEvaluatedRevision"].as_u64().unwrap();
        assert_eq!(revisions.last(), Some(&after));
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!(revisions, (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn both_contracts_show_the_same_streams() {
    on_every_store(async |server| {
        // From here to there.
        let stream = begin(&server, "account").await;
        let read = server.get(&format!("/streams/{}/changesets?include=position", id(&stream))).await.json();
        let changeset = &read["changesets"][0];
        assert_eq!(changeset["events"], json!([{"type": "opened", "payload": "{\"owner\":\"ada\"}"}]));
        assert_eq!((&changeset["stream_type"], &changeset["metadata"]), (&json!("account"), &json!({})));
        assert_eq!(changeset["timestamp"], stream["updatedAt"]);
        // From there to here: every event by itself, whatever it is.
        let next = format!("/streams/{}?expected_last_event=1", id(&stream));
        let body = r#"{"events":[{"type":"a","payload":"\ud800\u0041"},{"type":7,"payload":{"b":1.0}},"x",[1e400]]}"#;
        assert_eq!(server.post(&next, body).await.status, 200);
        let answer = server.get(&format!("/typed/streams/account/{}/events?after-revision=1", id(&stream))).await;
        assert!(answer.text().contains(r#""eventType":"a","payload":"\ud800\u0041","#), "{}", answer.text());
        let text = answer.text().replace(r"\ud800\u0041", "A");
        let page: Value = serde_json::from_str(&text).unwrap();
        let events = page["eventPage"]["events"].as_array().unwrap();
        let told: Vec<_> = events.iter().map(|it| (it["revision"].as_u64(), &it["eventType"], &it["payload"])).collect();
        let (typed, empty) = (json!("a"), json!(""));
        assert_eq!(told[0], (Some(2), &typed, &json!("A")));
        assert_eq!(told[1], (Some(3), &empty, &json!(r#"{"type":7,"payload":{"b":1.0}}"#)));
        assert_eq!(told[2], (Some(4), &empty, &json!("\"x\"")));
        assert_eq!(told[3], (Some(5), &empty, &json!("[1e400]")));
        assert_eq!(page["eventPage"]["lastEvaluatedRevision"], 5);
        let append = format!("/typed/streams/account/{}/events/6", id(&stream));
        assert_eq!(put(&server, &append, &event(6)).await.status, 201);
        // On DynamoDB the last one gets its place a moment later.
        let mut next = "0".to_owned();
        while next != "3" {
            let page = server.get(&format!("/changesets?wait=15&checkpoint={next}")).await;
            let (_, after) = page.text().rsplit_once("\"next_checkpoint\":").unwrap();
            assert_ne!(after.trim_end_matches('}'), next, "it moves on");
            next = after.trim_end_matches('}').to_owned();
        }

        // A stream that was begun there.
        let typed = [("Stream-Type", "order")];
        server.send("POST", &format!("/streams/{NO_STREAM}"), &typed, b"{\"events\":[1,2]}").await;
        let details = server.get(&format!("/typed/streams/order/{NO_STREAM}/details")).await.json();
        assert_eq!((&details["stream"]["revision"], id(&details["stream"])), (&json!(2), NO_STREAM));
        assert_eq!(listed(&server, "/typed/streams/order").await, [NO_STREAM]);
    })
    .await;
}

/// The ids of one page.
async fn listed(server: &TestServer, path: &str) -> Vec<String> {
    let page = server.get(path).await.json()["streamPage"].clone();
    page["streams"].as_array().unwrap().iter().map(|stream| id(stream).to_owned()).collect()
}

#[tokio::test]
async fn streams_are_listed_by_their_last_update_page_by_page() {
    on_every_store(async |server| {
        let page = json!({"streamPage": {"streams": [], "hasMore": false}});
        server.get("/typed/streams/account").await.is(200, &page);
        let mut streams = Vec::new();
        for _ in 0..5 {
            streams.push(begin(&server, "account").await);
        }
        begin(&server, "order").await;
        let updated = append(&server, &streams[1], 2).await;
        streams.remove(1);
        streams.push(updated);
        let page = json!({"streamPage": {"streams": streams, "hasMore": false}});
        server.get("/typed/streams/account").await.is(200, &page);

        // From a moment on, that one included, in whichever zone it is written.
        let moment = streams[2]["updatedAt"].as_str().unwrap();
        let ids = |streams: &[Value]| streams.iter().map(|it| id(it).to_owned()).collect::<Vec<_>>();
        for moment in [moment.to_owned(), moment.replace('Z', "%2B00:00")] {
            let path = format!("/typed/streams/account?updated-after={moment}");
            assert_eq!(listed(&server, &path).await, ids(&streams[2..]));
        }
        // Page by page, the key under both of its names.
        for name in ["nextPageKey", "stream-next-page-key"] {
            let path = format!("/typed/streams/account?limit=2&updated-after={moment}");
            let page = server.get(&path).await.json()["streamPage"].clone();
            assert_eq!((&page["streams"], &page["hasMore"]), (&json!(streams[2..4]), &json!(true)));
            let key = page["nextPageKey"].as_str().unwrap();
            let last = json!({"streamPage": {"streams": streams[4..], "hasMore": false}});
            server.get(&format!("{path}&{name}={key}")).await.is(200, &last);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_updated_while_pages_are_read_comes_twice_or_once_but_comes() {
    on_every_store(async |server| {
        let mut streams = Vec::new();
        for _ in 0..4 {
            streams.push(begin(&server, "account").await);
        }
        let first = server.get("/typed/streams/account?limit=2").await.json()["streamPage"].clone();
        append(&server, &streams[0], 2).await;
        append(&server, &streams[2], 2).await;
        let key = first["nextPageKey"].as_str().unwrap();
        let rest = listed(&server, &format!("/typed/streams/account?nextPageKey={key}")).await;
        assert_eq!(rest, [id(&streams[3]), id(&streams[0]), id(&streams[2])]);
    })
    .await;
}

#[tokio::test]
async fn streams_whose_ids_are_no_uuids_do_not_show() {
    let store = Arc::new(memory::Store::new());
    for number in 0..7 {
        let stream_id: StreamId = format!("account/{number}").parse().unwrap();
        let commit = Commit::new(stream_id, Expectation::NewStream, Events::parse("[1]").unwrap());
        store.commit(commit.with_stream_type("account".parse().unwrap())).await.unwrap();
    }
    let upper = Commit::new(
        NO_STREAM.to_uppercase().parse().unwrap(),
        Expectation::NewStream,
        Events::parse("[1]").unwrap(),
    );
    store.commit(upper.with_stream_type("account".parse().unwrap())).await.unwrap();
    let server = TestServer::with(store, |api| api).await;
    let stream = begin(&server, "account").await;
    // Pages without any are passed over.
    assert_eq!(listed(&server, "/typed/streams/account?limit=2").await, [id(&stream)]);
    fails(&server.get(&format!("/typed/streams/account/{NO_STREAM}/details")).await, 404, NOT_FOUND, "");
}

#[tokio::test]
async fn a_bad_member_is_named() {
    on_every_store(async |server| {
        let stream = begin(&server, "account").await;
        let events = format!("/typed/streams/account/{}/events", id(&stream));
        for (body, details) in [
            ("", "body"),
            ("[]", "initialEvent"),
            ("{}", "initialEvent"),
            (r#"{"initialEvent":7}"#, "initialEvent"),
            (r#"{"initialEvent":{"payload":"x"}}"#, "eventType"),
            (r#"{"initialEvent":{"eventType":"x"}}"#, "payload"),
            (r#"{"initialEvent":{"eventType":"","payload":"x"}}"#, "eventType"),
            (r#"{"initialEvent":{"eventType":"x","payload":""}}"#, "payload"),
            (r#"{"initialEvent":{"eventType":"x","payload":{}}}"#, "payload"),
            (r#"{"initialEvent":{"eventType":null,"payload":"x"}}"#, "eventType"),
        ] {
            fails(&server.post("/typed/streams/account", body).await, 400, "Bad Request", details);
            let next = body.replace("initialEvent", "event");
            let details = details.replace("initialEvent", "event");
            fails(&put(&server, &format!("{events}/2"), &next).await, 400, "Bad Request", &details);
        }
        for missing in [
            "{}",
            r#"{"initialEvent":{"payload":"x"}}"#,
            r#"{"initialEvent":{"eventType":"","payload":"x"}}"#,
        ] {
            let answer = server.post("/typed/streams/account", missing).await.json();
            let member = if missing == "{}" { "initialEvent" } else { "initialEvent.eventType" };
            assert_eq!(answer["details"], json!({"messages": {member: ["required"]}}));
        }
        for revision in ["0", "-1", "x", "1.0", "%20"] {
            fails(
                &put(&server, &format!("{events}/{revision}"), &event(2)).await,
                400,
                "Bad Request",
                "revision",
            );
        }
        for (path, details) in [
            ("account/no-uuid/events", "streamId"),
            ("account/9f86d081884c4d659a2feaa0c55ad015/events", "streamId"),
            ("account/no-uuid/details", "streamId"),
            (&*format!("account/{}/events?after-revision=x", id(&stream)), "after-revision"),
            (&*format!("account/{}/events?after-revision=-1", id(&stream)), "after-revision"),
            ("account?updated-after=yesterday", "updated-after"),
            ("account?updated-after=2026-11-21", "updated-after"),
            ("account?nextPageKey=x", "nextPageKey"),
            ("account?stream-next-page-key=1.6", "stream-next-page-key"),
            ("account?limit=0", "limit"),
            ("a%00b", "streamType"),
            ("%ff", "streamType"),
        ] {
            fails(&server.get(&format!("/typed/streams/{path}")).await, 400, "Bad Request", details);
        }
        assert_eq!(listed(&server, "/typed/streams/account").await, [id(&stream)], "nothing was stored");
    })
    .await;
}

#[tokio::test]
async fn whatever_goes_wrong_here_is_told_in_this_contracts_form() {
    let server = TestServer::over(Failing(|| Error::Storage {
        detail: "INSERT at /srv/ees.db".to_owned(),
        source: "disk full".into(),
    }))
    .await;
    let failed = server.get(&format!("/typed/streams/account/{NO_STREAM}/details")).await;
    fails(&failed, 500, "Something went wrong", "");
    let failed = server.post("/typed/streams/account", OPENED).await;
    fails(&failed, 500, "Something went wrong", "");
    fails(&server.get("/typed/nowhere").await, 404, NOT_FOUND, "");
    fails(&server.send("DELETE", "/typed/streams/account", &[], b"").await, 405, "Method Not Allowed", "");
    let busy = TestServer::over(Failing(|| Error::Overloaded)).await;
    let answer = busy.get(&format!("/typed/streams/account/{NO_STREAM}/events")).await;
    fails(&answer, 503, "Not available at the moment", "look before");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // The caller's own id is kept where it is a UUID.
    for (given, kept) in [(NO_STREAM, true), ("mine", false)] {
        let answer = server.send("GET", "/typed/nowhere", &[("X-Request-Id", given)], b"").await;
        fails(&answer, 404, NOT_FOUND, "");
        assert_eq!(answer.json()["requestId"] == given, kept);
    }
    // The other contract keeps its own.
    assert_eq!(server.get("/typedx").await.json(), json!({"message": "Invalid endpoint"}));
}

#[tokio::test]
async fn it_is_alive_and_leads_to_its_description() {
    let keys: ApiKeys = "read:r,commit:c".parse().unwrap();
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_keys(keys)).await;
    let alive = server.get("/typed/liveness-check").await;
    assert_eq!((alive.status, &alive.json()["status"]), (200, &json!("ok")), "without a key");
    assert!(alive.json()["at"].as_str().unwrap().parse::<ees_store::Timestamp>().is_ok());
    let read = [("Authorization", "Bearer r")];
    for (path, location) in [("/typed", "docs/"), ("/typed/", "../docs/")] {
        let moved = server.send("GET", path, &read, b"").await;
        assert_eq!((moved.status, moved.header("location")), (301, Some(location)));
    }
    let described = server.send("GET", "/docs/", &read, b"").await;
    assert_eq!(described.status, 200);

    // Keys and scopes are those of the other routes.
    fails(&server.get("/typed/streams/account").await, 401, "Unauthorized", "API key");
    let refused = server.send("POST", "/typed/streams/account", &read, OPENED.as_bytes()).await;
    fails(&refused, 403, "Forbidden", "commit");
    let commit = [("Authorization", "Bearer c")];
    let begun = server.send("POST", "/typed/streams/account", &commit, OPENED.as_bytes()).await;
    assert_eq!(begun.status, 201);
    fails(&server.send("GET", "/typed/streams/account", &commit, b"").await, 403, "Forbidden", "read");
    assert_eq!(server.send("GET", "/typed/streams/account", &read, b"").await.status, 200);
}
