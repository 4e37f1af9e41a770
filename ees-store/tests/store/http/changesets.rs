//! `GET /changesets`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::http::Limits;
use ees_store::memory;
use serde_json::{Value, json};

use super::gate::Gated;
use super::support::{TestServer, on_every_store};

#[tokio::test]
async fn everything_is_read_in_one_order() {
    on_every_store(async |server| {
        server.get("/changesets").await.is(
            200,
            &json!({"checkpoint": 0, "limit": 10, "changesets": [], "next_checkpoint": 0}),
        );
        server.commit("/streams/a", "[1,2]").await;
        server.post("/streams/b", r#"{"events":[3],"metadata":{"by":"ada"}}"#).await;
        server.commit("/streams/a?expected_last_changeset=1", "[4]").await;
        server.get("/changesets?checkpoint=0&limit=2").await.is(
            200,
            &json!({"checkpoint": 0, "limit": 2, "next_checkpoint": 2, "changesets": [
                {"stream_id": "a", "changeset_id": 1, "events": [1, 2], "metadata": {}, "checkpoint": 0},
                {"stream_id": "b", "changeset_id": 1, "events": [3], "metadata": {"by": "ada"}, "checkpoint": 1},
            ]}),
        );
        server.get("/changesets?checkpoint=2").await.is(
            200,
            &json!({"checkpoint": 2, "limit": 10, "next_checkpoint": 3, "changesets": [
                {"stream_id": "a", "changeset_id": 2, "events": [4], "metadata": {}, "checkpoint": 2},
            ]}),
        );
        server.get("/changesets?checkpoint=3").await.is(
            200,
            &json!({"checkpoint": 3, "limit": 10, "next_checkpoint": 3, "changesets": []}),
        );
    })
    .await;
}

#[tokio::test]
async fn every_changeset_comes_exactly_once() {
    on_every_store(async |server| {
        for at in 0..25 {
            server.commit(&format!("/streams/s{}?expected_last_changeset={}", at % 3, at / 3), "[1]").await;
        }
        let (mut checkpoint, mut seen) = (0, Vec::new());
        loop {
            let page = server.get(&format!("/changesets?checkpoint={checkpoint}&limit=4")).await;
            seen.extend(page.numbers("changesets", "checkpoint"));
            let next = page.json()["next_checkpoint"].as_u64().unwrap();
            if next == checkpoint {
                break;
            }
            checkpoint = next;
        }
        assert_eq!(seen, (0..25).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn the_limit_is_ten_unless_given_and_a_thousand_at_most() {
    on_every_store(async |server| {
        for at in 0..12 {
            server.commit(&format!("/streams/s{at}"), "[1]").await;
        }
        for (query, applied, given) in [
            ("", 10, 10),
            ("?limit=", 10, 10),
            ("?checkpoint=&limit=11", 11, 11),
            ("?limit=1000", 1_000, 12),
            ("?limit=1001", 1_000, 12),
            ("?limit=99999999999999999999999", 1_000, 12),
        ] {
            let page = server.get(&format!("/changesets{query}")).await;
            assert_eq!(page.json()["limit"], applied, "{query}");
            assert_eq!(page.numbers("changesets", "checkpoint").len(), given, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_past_the_head_gives_nothing_and_stays() {
    on_every_store(async |server| {
        server.commit("/streams/s", "[1]").await;
        for checkpoint in ["7", "9223372036854775807", "9223372036854775808", "18446744073709551616"] {
            let answer = server.get(&format!("/changesets?checkpoint={checkpoint}")).await;
            let want =
                format!("{{\"checkpoint\":{checkpoint},\"limit\":10,\"changesets\":[],\"next_checkpoint\":{checkpoint}}}");
            assert_eq!(answer.text(), want);
        }
    })
    .await;
}

#[tokio::test]
async fn a_checkpoint_or_limit_that_is_no_number_is_refused() {
    on_every_store(async |server| {
        for value in ["-1", "x", "1.0", "1e3", "null"] {
            let answer = server.get(&format!("/changesets?checkpoint={value}")).await;
            let message =
                format!("\"{value}\" is an invalid checkpoint value. Expected a positive integer value.");
            answer.is(400, &json!({"error": "INVALID_CHECKPOINT", "message": message}));
        }
        for value in ["-1", "0", "x", "1.0"] {
            let answer = server.get(&format!("/changesets?limit={value}")).await;
            let message =
                format!("\"{value}\" is an invalid limit value. Expected an integer value greater than 0.");
            answer.is(400, &json!({"error": "INVALID_LIMIT", "message": message}));
        }
        let answer = server.get("/changesets?checkpoint=a%22b").await;
        let message = "\"a\"b\" is an invalid checkpoint value. Expected a positive integer value.";
        answer.refuses(400, "INVALID_CHECKPOINT", message);
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_until_something_arrives() {
    let store = Arc::new(Gated::new());
    let server = TestServer::with(store.clone(), |api| api).await;
    store.open();
    let started = Instant::now();
    let (page, ()) = tokio::join!(server.get("/changesets?wait=20"), async {
        store.arrival().await;
        server.commit("/streams/s", "[1]").await;
    });
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(page.numbers("changesets", "checkpoint"), [0]);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_it_says() {
    on_every_store(async |server| {
        let started = Instant::now();
        let page = server.get("/changesets?wait=0.05").await;
        assert!(started.elapsed() >= Duration::from_millis(50));
        page.is(200, &json!({"checkpoint": 0, "limit": 10, "changesets": [], "next_checkpoint": 0}));
        server.commit("/streams/s", "[1]").await;
        let started = Instant::now();
        assert_eq!(server.get("/changesets?wait=20").await.numbers("changesets", "checkpoint"), [0]);
        assert!(started.elapsed() < Duration::from_secs(10));
        for value in ["0", "0.0", "20", "20.0", "2e1", "1e-7", "-0.0", ""] {
            assert_eq!(server.get(&format!("/changesets?wait={value}")).await.status, 200);
        }
        for value in ["-1", "20.001", "21", "3e1", "x", "NaN", "inf", ".", "1.2.3"] {
            let message = format!("\"{value}\" is an invalid wait value. Expected seconds from 0 to 20.");
            server.get(&format!("/changesets?wait={value}")).await.refuses(400, "INVALID_WAIT", &message);
        }
    })
    .await;
}

#[tokio::test]
async fn a_filter_passes_over_what_is_not_wanted() {
    on_every_store(async |server| {
        let typed = [("Stream-Type", "account")];
        server.send("POST", "/streams/a", &typed, br#"{"events":[{"type":"opened"}]}"#).await;
        server
            .send("POST", "/streams/b", &[("Stream-Type", "order")], br#"{"events":[{"type":"placed"}]}"#)
            .await;
        server.commit("/streams/c", r#"[{"type":"opened"},7]"#).await;
        server.commit("/streams/d", r#"[{"type":"a b"}]"#).await;
        for (query, checkpoints, next) in [
            ("stream_type=account", vec![0], 4),
            ("stream_type=account&stream_type=order", vec![0, 1], 4),
            ("event_type=opened", vec![0, 2], 4),
            ("event_type=opened&event_type=placed", vec![0, 1, 2], 4),
            ("event_type=opened&limit=1", vec![0], 1),
            ("event_type=opened&stream_type=order", vec![], 4),
            ("event_type=a%20b", vec![3], 4),
            ("event_type=nothing&checkpoint=2", vec![], 4),
            ("event_type=&stream_type=", vec![0, 1, 2, 3], 4),
        ] {
            let page = server.get(&format!("/changesets?{query}")).await;
            assert_eq!(page.numbers("changesets", "checkpoint"), checkpoints, "{query}");
            let at = page.json()["next_checkpoint"].as_u64().unwrap();
            // A page that is full may stop anywhere before the next that passes.
            assert!(if query.contains("limit") { at >= next } else { at == next }, "{query}: {at}");
        }
        let long = "x".repeat(256);
        server.get(&format!("/changesets?stream_type={long}")).await.refuses_like(
            400,
            "INVALID_FILTER",
            "longer",
        );
    })
    .await;
}

#[tokio::test]
async fn positions_and_the_head_are_told_when_asked_for() {
    on_every_store(async |server| {
        let empty = server.get("/changesets?include=position").await.json();
        assert_eq!(empty["head"], 0);
        server.send("POST", "/streams/s", &[("Stream-Type", "t")], br#"{"events":[1,2]}"#).await;
        server.commit("/streams/s?expected_last_changeset=1", "[3]").await;
        server.commit("/streams/u", "[3]").await;
        let page = server.get("/changesets?include=position&checkpoint=1&limit=1").await.json();
        assert_eq!((&page["head"], &page["next_checkpoint"]), (&json!(3), &json!(2)));
        let entry = &page["changesets"][0];
        assert_eq!((&entry["first_event_id"], &entry["stream_type"]), (&json!(3), &json!("t")));
        assert!(entry["timestamp"].as_str().unwrap().ends_with('Z'));
        for name in ["log_id", "incarnation"] {
            let text = page[name].as_str().unwrap();
            assert_eq!((text.len(), text.matches('-').count()), (36, 4), "{name}");
            assert_eq!(page[name], empty[name]);
        }
        let untyped = server.get("/changesets?include=position&checkpoint=2").await.json();
        assert_eq!(untyped["changesets"][0].get("stream_type"), Some(&Value::Null));
        let wrong = server.get("/changesets?include=x").await;
        wrong.refuses(400, "INVALID_INCLUDE", "\"x\" is an invalid include value. Expected \"position\".");
    })
    .await;
}

#[tokio::test]
async fn a_filter_has_a_bounded_number_of_names() {
    on_every_store(async |server| {
        server.commit("/streams/s", r#"[{"type":"t999"}]"#).await;
        server.commit("/streams/t", r#"[{"type":"other"}]"#).await;
        let names = |name: &str, count: usize| {
            (0..count).map(|at| format!("{name}=t{at}")).collect::<Vec<_>>().join("&")
        };
        let page = server.get(&format!("/changesets?{}", names("event_type", 1_000))).await;
        assert_eq!(page.numbers("changesets", "checkpoint"), [0]);
        for name in ["event_type", "stream_type"] {
            let refused = server.get(&format!("/changesets?{}", names(name, 1_001))).await;
            let message = format!("The filter has 1001 values of {name}; the limit is 1000.");
            refused.refuses(400, "INVALID_FILTER", &message);
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_not_held_for_long_is_told_when_to_come_again() {
    let limits = Limits { wait: Duration::from_millis(50), ..Limits::default() };
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_limits(limits)).await;
    let started = Instant::now();
    let empty = server.get("/changesets?wait=20").await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!((empty.status, empty.header("ees-poll-after")), (200, Some("5")));
    for whole in ["/changesets?wait=0.05", "/changesets"] {
        assert_eq!(server.get(whole).await.header("ees-poll-after"), None, "{whole}");
    }
    server.get("/changesets?wait=21").await.refuses_like(400, "INVALID_WAIT", "from 0 to 20");
    server.commit("/streams/a", "[1]").await;
    assert_eq!(server.get("/changesets?wait=20").await.header("ees-poll-after"), None, "something was there");
}
