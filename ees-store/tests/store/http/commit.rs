//! `POST /streams/{stream_id}`.

use serde_json::json;

use super::support::on_every_store;

const EVENTS: &str = r#"{"events":[1]}"#;

#[tokio::test]
async fn a_commit_is_answered_with_its_stream_and_number_and_nothing_else() {
    on_every_store(async |server| {
        let first = server.post("/streams/s", EVENTS).await;
        first.is(200, &json!({"stream_id": "s", "changeset_id": 1}));
        assert_eq!(first.header("ees-checkpoint"), Some("0"));
        let second = server.post("/streams/s?expected_last_changeset=1", EVENTS).await;
        second.is(200, &json!({"stream_id": "s", "changeset_id": 2}));
        assert_eq!(second.header("ees-checkpoint"), Some("1"));
        let third = server.post("/streams/s?expected_last_event=2", EVENTS).await;
        third.is(200, &json!({"stream_id": "s", "changeset_id": 3}));
    })
    .await;
}

#[tokio::test]
async fn without_an_expectation_the_stream_must_be_new() {
    on_every_store(async |server| {
        for (stream, query) in
            [("a", ""), ("b", "?expected_last_changeset="), ("c", "?expected_last_event=&pp=x"), ("d", "?")]
        {
            let target = format!("/streams/{stream}{query}");
            assert_eq!(server.post(&target, EVENTS).await.status, 200, "{target}");
            let message =
                "The expected last changeset (0) is outdated, review the changeset(s) appended after it.";
            server.post(&target, EVENTS).await.refuses(409, "OPTIMISTIC_CONCURRENCY_EXCEPTION", message);
        }
        for (stream, query) in [("e", "expected_last_changeset=0"), ("f", "expected_last_event=000")] {
            assert_eq!(server.post(&format!("/streams/{stream}?{query}"), EVENTS).await.status, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_stream_id_is_missing() {
    on_every_store(async |server| {
        let body = json!({"error": "MISSING_STREAM_ID", "message": "stream_id is a required value"});
        for target in
            ["/streams/", "/streams/?expected_last_changeset=0", "/streams/?expected_last_changeset=x"]
        {
            server.post(target, EVENTS).await.is(400, &body);
        }
    })
    .await;
}

#[tokio::test]
async fn an_expectation_that_is_no_whole_number_is_refused() {
    on_every_store(async |server| {
        let long = "9".repeat(400);
        for value in ["-1", "1.0", "x", "1e3", " 1", "0x1", "null", &format!("{long}x")] {
            let encoded = value.replace(' ', "%20");
            let answer = server.post(&format!("/streams/s?expected_last_changeset={encoded}"), EVENTS).await;
            let message = format!(
                "The specified expected changeset id(\"{value}\") is invalid. Expected a positive integer."
            );
            answer.is(
                400,
                &json!({"error": "INVALID_EXPECTED_CHANGESET_ID", "message": message, "stream_id": "s"}),
            );
            let answer = server.post(&format!("/streams/s?expected_last_event={encoded}"), EVENTS).await;
            let message = format!(
                "The specified expected event id(\"{value}\") is invalid. Expected a positive integer."
            );
            answer.is(
                400,
                &json!({"error": "INVALID_EXPECTED_EVENT_ID", "message": message, "stream_id": "s"}),
            );
        }
        let answer = server.post("/streams/s?expected_last_changeset=%2B1", EVENTS).await;
        let message = "The specified expected changeset id(\"+1\") is invalid. Expected a positive integer.";
        answer.refuses(400, "INVALID_EXPECTED_CHANGESET_ID", message);
    })
    .await;
}

#[tokio::test]
async fn only_one_expectation_can_be_given() {
    on_every_store(async |server| {
        let answer = server.post("/streams/s?expected_last_changeset=0&expected_last_event=0", EVENTS).await;
        let message = "Cannot use both \"last_changeset_id\" and \"last_event_id\" for concurrency management. \
                       Specify only one value.";
        answer.is(
            400,
            &json!({"error": "BOTH_EXPECTED_CHANGESET_AND_EVENT_ARE_SET", "message": message, "stream_id": "s"}),
        );
        let answer = server.post("/streams/s?expected_last_changeset=&expected_last_event=0", EVENTS).await;
        assert_eq!(answer.status, 200);
    })
    .await;
}

#[tokio::test]
async fn of_a_repeated_parameter_the_last_one_counts() {
    on_every_store(async |server| {
        server.commit("/streams/s?expected_last_changeset=7&expected_last_changeset=0", "[1]").await;
        let other = "/streams/s?EXPECTED_LAST_CHANGESET=9&expected_last_changeset=1";
        let refused = server.post(other, EVENTS).await;
        refused.refuses_like(400, "UNKNOWN_PARAMETER", "Did you mean \"expected_last_changeset\"?");
    })
    .await;
}

#[tokio::test]
async fn an_outdated_commit_is_shown_what_was_appended_after_it() {
    on_every_store(async |server| {
        server.commit("/streams/s", "[1,2]").await;
        server.post("/streams/s?expected_last_changeset=1", r#"{"events":[3,4],"metadata":{"a":1}}"#).await;
        server.commit("/streams/s?expected_last_changeset=2", "[5]").await;

        server.post("/streams/s?expected_last_changeset=1", EVENTS).await.is(
            409,
            &json!({
                "error": "OPTIMISTIC_CONCURRENCY_EXCEPTION",
                "message": "The expected last changeset (1) is outdated, review the changeset(s) appended after it.",
                "stream_id": "s",
                "forthcoming_changesets": [
                    {"changeset_id": 2, "events": [3, 4], "metadata": {"a": 1}},
                    {"changeset_id": 3, "events": [5], "metadata": {}},
                ],
            }),
        );
        assert_eq!(
            server.post("/streams/s", EVENTS).await.numbers("forthcoming_changesets", "changeset_id"),
            [1, 2, 3]
        );

        let by_event = server.post("/streams/s?expected_last_event=3", EVENTS).await;
        let message = "The expected last event (3) is outdated, review the event(s) appended after it.";
        by_event.refuses(409, "OPTIMISTIC_CONCURRENCY_EXCEPTION", message);
        assert_eq!(by_event.numbers("forthcoming_changesets", "changeset_id"), [2, 3]);
        let after_a_whole_one = server.post("/streams/s?expected_last_event=4", EVENTS).await;
        assert_eq!(after_a_whole_one.numbers("forthcoming_changesets", "changeset_id"), [3]);
    })
    .await;
}

#[tokio::test]
async fn at_most_a_hundred_forthcoming_changesets_are_shown_and_where_the_rest_begins() {
    on_every_store(async |server| {
        for last in 0..102 {
            server.commit(&format!("/streams/s?expected_last_changeset={last}"), "[1]").await;
        }
        let cut = server.post("/streams/s?expected_last_changeset=1", EVENTS).await;
        assert_eq!(cut.numbers("forthcoming_changesets", "changeset_id"), (2..=101).collect::<Vec<_>>());
        assert_eq!(cut.json()["next"], 102);
        let whole = server.post("/streams/s?expected_last_changeset=2", EVENTS).await;
        assert_eq!(whole.numbers("forthcoming_changesets", "changeset_id"), (3..=102).collect::<Vec<_>>());
        assert_eq!(whole.json().get("next"), None);
    })
    .await;
}

#[tokio::test]
async fn an_expectation_ahead_of_the_stream_is_refused() {
    on_every_store(async |server| {
        let beyond = "340282366920938463463374607431768211456";
        for (query, message) in [
            ("changeset=1", "The specified expected changeset(1) doesn't exist. The \"s/1\" stream's most recent changeset is 0."),
            ("event=7", "The specified expected event(7) doesn't exist. The \"s/1\" stream's most recent event is 0."),
        ] {
            let answer = server.post(&format!("/streams/s%2F1?expected_last_{query}"), EVENTS).await;
            let code = "INVALID_EXPECTED_CHANGESET_ID";
            answer.is(400, &json!({"error": code, "message": message, "stream_id": "s/1"}));
        }
        server.commit("/streams/s%2F1", "[1,2]").await;
        for (query, message) in [
            ("changeset=2".to_owned(), "The specified expected changeset(2) doesn't exist. The \"s/1\" stream's most recent changeset is 1.".to_owned()),
            ("event=003".to_owned(), "The specified expected event(3) doesn't exist. The \"s/1\" stream's most recent event is 2.".to_owned()),
            (format!("changeset={beyond}"), format!("The specified expected changeset({beyond}) doesn't exist. The \"s/1\" stream's most recent changeset is 1.")),
            (format!("event={beyond}"), format!("The specified expected event({beyond}) doesn't exist. The \"s/1\" stream's most recent event is 2.")),
        ] {
            let answer = server.post(&format!("/streams/s%2F1?expected_last_{query}"), EVENTS).await;
            answer.refuses(400, "INVALID_EXPECTED_CHANGESET_ID", &message);
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_no_commit_is_told_what_and_where() {
    on_every_store(async |server| {
        for (body, part) in [
            ("", "line 1 column 0"),
            ("{", "line 1 column 1"),
            ("{\"events\":[1]} {}", "line 1 column 16"),
            ("[[1]]", "must be a JSON object"),
            ("{}", "missing field `events`"),
            ("{\"metadata\":{}}", "missing field `events`"),
            ("{\n\"events\":{}}", "`events` must be an array, at line 2 column 10"),
            ("{\"events\":[]}", "at least one event, at line 1 column 11"),
            ("{\"events\":[1],\"metadata\":[]}", "`metadata` must be an object, at line 1 column 26"),
            ("{\"events\":[1],\"metadata\":null}", "`metadata` must be an object"),
            ("{\"events\":[01]}", "line 1 column"),
        ] {
            let answer = server.post("/streams/s", body).await;
            answer.refuses_like(400, "INVALID_BODY", part);
            assert_eq!(answer.json()["stream_id"], "s");
        }
        server.send("POST", "/streams/s", &[], b"{\"events\":[\"\xff\"]}").await.refuses_like(
            400,
            "INVALID_BODY",
            "UTF-8",
        );
        server.get("/streams/s/changesets").await.refuses_like(404, "STREAM_NOT_FOUND", "");
    })
    .await;
}

#[tokio::test]
async fn checks_go_from_the_stream_id_over_the_expectation_and_the_body_to_the_state() {
    on_every_store(async |server| {
        server.commit("/streams/s", "[1]").await;
        for (target, body, code) in [
            ("/streams/?expected_last_event=x", "{", "MISSING_STREAM_ID"),
            ("/streams/..?expected_last_event=x", "{", "INVALID_STREAM_ID"),
            ("/streams/s?expected_last_event=x", "{", "INVALID_EXPECTED_EVENT_ID"),
            ("/streams/s", "{", "INVALID_BODY"),
            ("/streams/s", EVENTS, "OPTIMISTIC_CONCURRENCY_EXCEPTION"),
        ] {
            assert_eq!(server.post(target, body).await.json()["error"], code, "{target} {body}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_id_may_hold_anything_that_is_percent_encoded() {
    on_every_store(async |server| {
        let long = "x".repeat(1_024);
        for (segment, id) in [
            ("axum%2Fsrc%2Flib.rs", "axum/src/lib.rs"),
            ("%252e", "%2e"),
            ("a+b%20c", "a+b c"),
            ("%C3%A4%F0%9F%A6%80", "ä🦀"),
            ("%22q%22%5C", "\"q\"\\"),
            ("...", "..."),
            ("%3Fx%3D1%23", "?x=1#"),
            (&long, &long),
        ] {
            let answer = server.post(&format!("/streams/{segment}"), EVENTS).await;
            answer.is(200, &json!({"stream_id": id, "changeset_id": 1}));
            for list in ["changesets", "events"] {
                let read = server.get(&format!("/streams/{segment}/{list}")).await;
                assert_eq!((read.status, &read.json()["stream_id"]), (200, &json!(id)));
            }
        }
        let log = server.get("/changesets?limit=100").await.json();
        assert_eq!(log["changesets"][0]["stream_id"], "axum/src/lib.rs");
    })
    .await;
}

#[tokio::test]
async fn a_stream_id_that_can_not_be_one_is_refused() {
    on_every_store(async |server| {
        let long = "x".repeat(1_025);
        for (segment, why) in [
            (".", "must not be"),
            ("..", "must not be"),
            ("%2e", "must not be"),
            ("%2E%2e", "must not be"),
            (".%2e", "must not be"),
            ("a%0Ab", "control characters"),
            ("%00", "control characters"),
            ("!!!RESERVED:GLOBAL-COUNTER!!!", "RESERVED"),
            ("%21!!RESERVED:x", "RESERVED"),
            (&long, "longer"),
            ("%ff", "percent-encoded UTF-8"),
            ("100%", "percent-encoded UTF-8"),
            ("%4", "percent-encoded UTF-8"),
            ("%zz", "percent-encoded UTF-8"),
        ] {
            server.post(&format!("/streams/{segment}"), EVENTS).await.refuses_like(
                400,
                "INVALID_STREAM_ID",
                why,
            );
            for list in ["changesets", "events"] {
                let answer = server.get(&format!("/streams/{segment}/{list}")).await;
                answer.refuses_like(400, "INVALID_STREAM_ID", why);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_repeat_with_the_same_idempotency_key_stores_nothing() {
    on_every_store(async |server| {
        let key: [(&str, &str); 1] = [("Idempotency-Key", "request-17")];
        let first = json!({"stream_id": "s", "changeset_id": 1});
        server.send("POST", "/streams/s", &key, EVENTS.as_bytes()).await.is(200, &first);
        server.commit("/streams/s?expected_last_changeset=1", "[2]").await;
        let spaced = br#" { "metadata" : { } , "events" : [ 1 ] } "#;
        for target in ["/streams/s", "/streams/s?expected_last_changeset=99999999999999999999"] {
            server.send("POST", target, &key, EVENTS.as_bytes()).await.is(200, &first);
            server.send("POST", target, &key, spaced).await.is(200, &first);
        }
        let reused = server.send("POST", "/streams/s", &key, br#"{"events":[2]}"#).await;
        reused.refuses_like(409, "IDEMPOTENCY_KEY_REUSED", "idempotency key");
        assert_eq!(reused.json()["stream_id"], "s");
        let elsewhere = server.send("POST", "/streams/t", &key, br#"{"events":[2]}"#).await;
        assert_eq!(elsewhere.status, 200);
        assert_eq!(server.get("/streams/s/changesets").await.numbers("changesets", "changeset_id"), [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn a_stream_keeps_the_type_of_its_first_commit() {
    on_every_store(async |server| {
        let typed = async |target: &str, of: &str| {
            server.send("POST", target, &[("Stream-Type", of)], EVENTS.as_bytes()).await
        };
        assert_eq!(typed("/streams/s", "account").await.status, 200);
        server.commit("/streams/s?expected_last_changeset=1", "[1]").await;
        assert_eq!(typed("/streams/s?expected_last_changeset=2", "account").await.status, 200);
        let other = typed("/streams/s?expected_last_changeset=3", "order").await;
        other.refuses_like(409, "STREAM_TYPE_MISMATCH", "\"account\"");
        server.commit("/streams/untyped", "[1]").await;
        let late = typed("/streams/untyped?expected_last_changeset=1", "order").await;
        late.refuses_like(409, "STREAM_TYPE_MISMATCH", "no type");
        assert_eq!(typed("/streams/uml", "übung").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_header_that_can_not_be_right_is_refused() {
    on_every_store(async |server| {
        let long = "k".repeat(256);
        for header in [
            [("Idempotency-Key", "")],
            [("Idempotency-Key", "a b")],
            [("Idempotency-Key", "ä")],
            [("Idempotency-Key", &*long)],
            [("Stream-Type", "")],
            [("Stream-Type", &*long)],
        ] {
            let answer = server.send("POST", "/streams/s", &header, b"{").await;
            answer.refuses_like(400, "INVALID_HEADER", header[0].0);
        }
        let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
        let answer = server.send("POST", "/streams/s", &twice, EVENTS.as_bytes()).await;
        answer.refuses_like(400, "INVALID_HEADER", "more than once");
    })
    .await;
}

#[tokio::test]
async fn without_projections_nothing_becomes_visible_and_nothing_is_committed() {
    on_every_store(async |server| {
        let refused = server.post("/streams/s?visible_in=statistics", "{\"events\":[1]}").await;
        refused.refuses_like(404, "PROJECTION_NOT_FOUND", "statistics");
        server.post("/streams/s?timeout=1", "{\"events\":[1]}").await.refuses_like(
            400,
            "INVALID_WAIT",
            "visible_in",
        );
        assert_eq!(server.get("/streams/s/events").await.status, 404);
    })
    .await;
}
