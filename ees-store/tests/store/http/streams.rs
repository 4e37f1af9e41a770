//! `GET /streams/{stream_id}/changesets` and `/events`.

use serde_json::{Value, json};

use super::support::{TestServer, on_every_store};

/// Changesets of 2, 3 and 1 events: 1 2 | 3 4 5 | 6.
async fn three_changesets(server: &TestServer) {
    server.commit("/streams/s", "[1,2]").await;
    server
        .post("/streams/s?expected_last_changeset=1", r#"{"events":[3,4,5],"metadata":{"by":"ada"}}"#)
        .await;
    server.commit("/streams/s?expected_last_changeset=2", "[6]").await;
}

#[tokio::test]
async fn a_stream_is_read_by_changesets() {
    on_every_store(async |server| {
        three_changesets(&server).await;
        server.get("/streams/s/changesets").await.is(
            200,
            &json!({"stream_id": "s", "changesets": [
                {"changeset_id": 1, "events": [1, 2], "metadata": {}},
                {"changeset_id": 2, "events": [3, 4, 5], "metadata": {"by": "ada"}},
                {"changeset_id": 3, "events": [6], "metadata": {}},
            ]}),
        );
        for (query, ids) in [
            ("from=2", vec![2, 3]),
            ("to=2", vec![1, 2]),
            ("from=2&to=2", vec![2]),
            ("from=0&to=0", vec![1, 2, 3]),
            ("from=&to=", vec![1, 2, 3]),
            ("from=3&to=0", vec![3]),
            ("from=4", vec![]),
            ("to=99999999999999999999", vec![1, 2, 3]),
            ("from=99999999999999999998&to=99999999999999999999", vec![]),
            ("from_event=2&to_event=3", vec![1, 2]),
            ("from_event=4&to_event=4", vec![2]),
            ("from_event=6", vec![3]),
            ("to_event=2", vec![1]),
            ("from_event=7", vec![]),
        ] {
            let answer = server.get(&format!("/streams/s/changesets?{query}")).await;
            assert_eq!(answer.numbers("changesets", "changeset_id"), ids, "{query}");
            assert_eq!(answer.json().get("next"), None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_read_by_events_cut_inside_changesets() {
    on_every_store(async |server| {
        three_changesets(&server).await;
        server.get("/streams/s/events?from=2&to=4").await.is(
            200,
            &json!({"stream_id": "s", "events": [
                {"id": 2, "data": 2}, {"id": 3, "data": 3}, {"id": 4, "data": 4},
            ]}),
        );
        for (query, ids) in [
            ("", vec![1, 2, 3, 4, 5, 6]),
            ("from=0&to=0", vec![1, 2, 3, 4, 5, 6]),
            ("from=5", vec![5, 6]),
            ("to=1", vec![1]),
            ("from=6&to=100000000000000000000", vec![6]),
            ("from=7", vec![]),
            ("from=18446744073709551616", vec![]),
        ] {
            let answer = server.get(&format!("/streams/s/events?{query}")).await;
            assert_eq!(answer.numbers("events", "id"), ids, "{query}");
            assert_eq!(answer.json().get("next"), None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_cuts_and_says_where_the_rest_begins() {
    on_every_store(async |server| {
        three_changesets(&server).await;
        for (target, list, member, ids, next) in [
            ("changesets?limit=2", "changesets", "changeset_id", vec![1, 2], Some(3)),
            ("changesets?limit=3", "changesets", "changeset_id", vec![1, 2, 3], None),
            ("changesets?limit=1&to=1", "changesets", "changeset_id", vec![1], None),
            ("changesets?limit=1&from_event=2", "changesets", "changeset_id", vec![1], Some(2)),
            ("changesets?limit=5000", "changesets", "changeset_id", vec![1, 2, 3], None),
            ("events?limit=1", "events", "id", vec![1], Some(2)),
            ("events?limit=2", "events", "id", vec![1, 2], Some(3)),
            ("events?limit=3&from=2", "events", "id", vec![2, 3, 4], Some(5)),
            ("events?limit=2&to=2", "events", "id", vec![1, 2], None),
            ("events?limit=6", "events", "id", vec![1, 2, 3, 4, 5, 6], None),
            ("events?limit=99999999999999999999", "events", "id", vec![1, 2, 3, 4, 5, 6], None),
        ] {
            let answer = server.get(&format!("/streams/s/{target}")).await;
            assert_eq!(answer.numbers(list, member), ids, "{target}");
            assert_eq!(answer.json().get("next").and_then(Value::as_u64), next, "{target}");
        }
        for limit in ["0", "-1", "x", "1.5", "000"] {
            for list in ["changesets", "events"] {
                let answer = server.get(&format!("/streams/s/{list}?limit={limit}")).await;
                let message = format!(
                    "\"{limit}\" is an invalid limit value. Expected an integer value greater than 0."
                );
                answer.refuses(400, "INVALID_LIMIT", &message);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_at_most_a_thousand() {
    on_every_store(async |server| {
        let many = format!("[{}1]", "1,".repeat(1_000));
        server.commit("/streams/s", &many).await;
        let cut = server.get("/streams/s/events?limit=2000").await;
        assert_eq!(cut.numbers("events", "id").len(), 1_000);
        assert_eq!(cut.json()["next"], 1_001);
        assert_eq!(server.get("/streams/s/events").await.numbers("events", "id").len(), 1_001);
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_cut_at_4_mib_and_the_rest_is_where_next_says() {
    on_every_store(async |server| {
        let megabyte = format!("[\"{}\"]", "x".repeat(1024 * 1024 - 16));
        for last in 0..6 {
            server.commit(&format!("/streams/s?expected_last_changeset={last}"), &megabyte).await;
        }
        for (path, list, member) in
            [("/streams/s/changesets", "changesets", "changeset_id"), ("/streams/s/events", "events", "id")]
        {
            let cut = server.get(path).await;
            assert!(cut.body.len() <= 4 * 1024 * 1024);
            assert_eq!(cut.numbers(list, member), [1, 2, 3]);
            assert_eq!(cut.json()["next"], 4);
            let rest = server.get(&format!("{path}?from=4")).await;
            assert_eq!(rest.numbers(list, member), [4, 5, 6]);
            assert_eq!(rest.json().get("next"), None);
        }
        let log = server.get("/changesets").await;
        assert!(log.body.len() <= 4 * 1024 * 1024);
        assert_eq!(log.numbers("changesets", "checkpoint"), [0, 1, 2]);
        assert_eq!(log.json()["next_checkpoint"], 3);
        let conflict = server.post("/streams/s?expected_last_changeset=1", "{\"events\":[1]}").await;
        assert!(conflict.body.len() <= 4 * 1024 * 1024);
        assert_eq!(conflict.numbers("forthcoming_changesets", "changeset_id"), [2, 3, 4]);
        assert_eq!(conflict.json()["next"], 5);
    })
    .await;
}

#[tokio::test]
async fn many_small_events_are_cut_inside_a_changeset() {
    on_every_store(async |server| {
        let count = 400_000;
        server.commit("/streams/s", &format!("[{}1]", "1,".repeat(count - 1))).await;
        let cut = server.get("/streams/s/events").await;
        assert!(cut.body.len() <= 4 * 1024 * 1024);
        let next = cut.json()["next"].as_u64().unwrap();
        assert_eq!(cut.numbers("events", "id").last(), Some(&(next - 1)));
        let rest = server.get(&format!("/streams/s/events?from={}", count - 1)).await;
        assert_eq!(rest.numbers("events", "id"), [count as u64 - 1, count as u64]);
    })
    .await;
}

#[tokio::test]
async fn a_range_that_is_none_is_refused() {
    on_every_store(async |server| {
        three_changesets(&server).await;
        for (list, code) in [
            ("changesets", "INVALID_CHANGESET_FILTERING_PARAMS"),
            ("events", "INVALID_EVENT_FILTERING_PARAMS"),
        ] {
            for query in ["from=x", "to=x", "from=-1", "to=-1", "from=1.0", "from=%2B1", "from=-1&to=-2"] {
                let answer = server.get(&format!("/streams/s/{list}?{query}")).await;
                let message = "The filtering params(from, to) have to be positive integer values";
                answer.is(400, &json!({"error": code, "message": message, "stream_id": "s"}));
            }
            for (from, to) in [("3", "2"), ("100000000000000000000", "99999999999999999999")] {
                let answer = server.get(&format!("/streams/s/{list}?from={from}&to={to}")).await;
                let message = format!(
                    "The higher boundary cannot be lower than the lower boundary: {from}(from) > {to}(to)"
                );
                answer.is(400, &json!({"error": code, "message": message, "stream_id": "s"}));
            }
        }
        let code = "INVALID_CHANGESET_FILTERING_PARAMS";
        server.get("/streams/s/changesets?from=1&to_event=2").await.refuses_like(400, code, "both");
        server.get("/streams/s/changesets?from_event=x").await.refuses_like(
            400,
            code,
            "from_event, to_event",
        );
        server.get("/streams/s/changesets?from_event=3&to_event=2").await.refuses_like(
            400,
            code,
            "3(from_event) > 2",
        );
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_not_found() {
    on_every_store(async |server| {
        for list in ["changesets", "events"] {
            server.get(&format!("/streams/a%2F%22b%22/{list}?from=7")).await.is(
                404,
                &json!({
                    "error": "STREAM_NOT_FOUND",
                    "message": "The specified stream(a/\"b\") doesn't exist",
                    "stream_id": "a/\"b\"",
                }),
            );
            server
                .get(&format!("/streams//{list}"))
                .await
                .is(400, &json!({"error": "MISSING_STREAM_ID", "message": "stream_id is a required value"}));
        }
    })
    .await;
}

#[tokio::test]
async fn positions_are_told_when_asked_for() {
    on_every_store(async |server| {
        server.commit("/streams/other", "[0]").await;
        let typed = [("Stream-Type", "account")];
        server.send("POST", "/streams/s", &typed, br#"{"events":[1,2]}"#).await;
        server.commit("/streams/s?expected_last_changeset=1", "[3]").await;

        let body = server.get("/streams/s/changesets?include=position").await.json();
        let second = &body["changesets"][1];
        assert_eq!((&second["first_event_id"], &second["stream_type"]), (&json!(3), &json!("account")));
        let time: ees_store::Timestamp = second["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(time.elapsed().as_secs() < 60);
        assert_eq!(body["last_checkpoint"], 2);

        let first = server.get("/streams/s/changesets?include=position&limit=1").await.json();
        assert_eq!((&first["last_checkpoint"], &first["next"]), (&json!(1), &json!(2)));
        let none = server.get("/streams/s/changesets?include=position&from=9").await;
        none.is(200, &json!({"stream_id": "s", "changesets": []}));
        let untyped = server.get("/streams/other/changesets?include=position").await.json();
        assert_eq!(untyped["changesets"][0]["stream_type"], Value::Null);
        assert!(untyped["changesets"][0].as_object().unwrap().contains_key("stream_type"));
        let wrong = server.get("/streams/s/changesets?include=all").await;
        wrong.refuses(400, "INVALID_INCLUDE", "\"all\" is an invalid include value. Expected \"position\".");
    })
    .await;
}
