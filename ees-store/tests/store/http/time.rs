//! `GET /changesets/at`.

use std::time::Duration;

use ees_store::Timestamp;
use serde_json::json;

use super::support::on_every_store;

#[tokio::test]
async fn a_time_has_its_place_in_the_log() {
    on_every_store(async |server| {
        for last in 0..5 {
            server.commit(&format!("/streams/a?expected_last_changeset={last}"), "[1]").await;
        }
        let log = server.get("/changesets?include=position&limit=5").await.json();
        for (place, changeset) in log["changesets"].as_array().unwrap().iter().enumerate() {
            let time = changeset["timestamp"].as_str().unwrap();
            let answer = json!({"time": time, "checkpoint": place, "head": 5});
            server.get(&format!("/changesets/at?time={time}")).await.is(200, &answer);
        }
        let in_another_zone = server.get("/changesets/at?time=9999-01-01T01:00:00%2B01:00").await;
        in_another_zone.is(200, &json!({"time": "9999-01-01T00:00:00.000000Z", "checkpoint": 5, "head": 5}));
    })
    .await;
}

#[tokio::test]
async fn the_log_is_read_from_a_time_on() {
    on_every_store(async |server| {
        for last in 0..5 {
            server.commit(&format!("/streams/a?expected_last_changeset={last}"), "[1]").await;
        }
        let log = server.get("/changesets?include=position&limit=5").await.json();
        for (place, changeset) in log["changesets"].as_array().unwrap().iter().enumerate() {
            let time = changeset["timestamp"].as_str().unwrap();
            let page = server.get(&format!("/changesets?since={time}")).await;
            page.is(200, &server.get(&format!("/changesets?checkpoint={place}")).await.json());
        }
        let all = server.get("/changesets").await.json();
        server.get("/changesets?since=1999-01-01T00:00:00Z").await.is(200, &all);
        let soon = Timestamp::now().later_by(Duration::from_secs(30));
        let none = json!({"checkpoint": 5, "limit": 10, "changesets": [], "next_checkpoint": 5});
        server.get(&format!("/changesets?since={soon}")).await.is(200, &none);
        for (query, told) in [
            ("since=2999-01-01T00:00:00Z", "is in the future"),
            ("since=yesterday", "RFC 3339"),
            ("since=1999-01-01T00:00:00Z&checkpoint=1", "either"),
        ] {
            server.get(&format!("/changesets?{query}")).await.refuses_like(400, "INVALID_TIME", told);
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_is_read_from_a_time_on() {
    on_every_store(async |server| {
        for last in 0..5 {
            server.commit(&format!("/streams/a?expected_last_changeset={last}"), "[1,2]").await;
        }
        let stream = server.get("/streams/a/changesets?include=position").await.json();
        for (before, changeset) in stream["changesets"].as_array().unwrap().iter().enumerate() {
            let time = changeset["timestamp"].as_str().unwrap();
            for (resource, from) in [("changesets", before + 1), ("events", 2 * before + 1)] {
                let since = server.get(&format!("/streams/a/{resource}?since={time}&to=9")).await;
                since.is(200, &server.get(&format!("/streams/a/{resource}?from={from}&to=9")).await.json());
            }
        }
        for resource in ["changesets", "events"] {
            let all = server.get(&format!("/streams/a/{resource}")).await.json();
            server.get(&format!("/streams/a/{resource}?since=1999-01-01T00:00:00Z")).await.is(200, &all);
            let soon = Timestamp::now().later_by(Duration::from_secs(30));
            let none = server.get(&format!("/streams/a/{resource}?from=99")).await.json();
            server.get(&format!("/streams/a/{resource}?since={soon}")).await.is(200, &none);
            let missing = server.get(&format!("/streams/b/{resource}?since={soon}")).await;
            missing.refuses_like(404, "STREAM_NOT_FOUND", "exist");
            for (query, told) in [
                ("since=2999-01-01T00:00:00Z", "is in the future"),
                ("since=yesterday", "RFC 3339"),
                ("since=1999-01-01T00:00:00Z&from=1", "either `from` or `since`"),
            ] {
                let refused = server.get(&format!("/streams/a/{resource}?{query}")).await;
                refused.refuses_like(400, "INVALID_TIME", told);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_time_is_refused() {
    on_every_store(async |server| {
        for query in ["", "?time=", "?time=yesterday", "?time=2026-11-21", "?time=2026-11-21T09:30:00"] {
            server.get(&format!("/changesets/at{query}")).await.refuses_like(400, "INVALID_TIME", "RFC 3339");
        }
        server.get("/changesets/at?tme=x").await.refuses_like(400, "UNKNOWN_PARAMETER", "time");
    })
    .await;
}
