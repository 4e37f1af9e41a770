//! What is not understood is refused, and told.

use serde_json::{Value, json};

use super::support::{Answer, TestServer, on_every_store};

/// Every operation of the description: its method and a path for it.
fn operations(api: &Value) -> Vec<(String, String)> {
    let of_path = |(path, operations): (&String, &Value)| {
        let path = path
            .replace("{stream_type}", "account")
            .replace("/account/{stream_id}", "/account/0c5b1d5c-9b5e-4d0a-8c53-7d0a6a5f3d11")
            .replace("{stream_id}", "s")
            .replace("{revision}", "1");
        assert!(!path.contains('{'), "{path}");
        let methods = operations.as_object().unwrap().keys().map(|method| method.to_uppercase());
        methods.map(move |method| (method, path.clone())).collect::<Vec<_>>()
    };
    api["paths"].as_object().unwrap().iter().flat_map(of_path).collect()
}

#[track_caller]
fn refused(answer: &Answer, name: &str, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    assert!(answer.text().contains(name), "{what}: {}", answer.text());
}

#[tokio::test]
async fn every_endpoint_refuses_a_query_parameter_that_it_does_not_know() {
    on_every_store(async |server| {
        let api = server.get("/openapi.json").await.json();
        let operations = operations(&api);
        assert!(operations.len() > 10, "{operations:?}");
        for (method, path) in operations {
            // A probe is answered whatever it sends along: a refusal would take the server out of service.
            if path.starts_with("/health/") || path == "/typed/liveness-check" {
                assert_eq!(server.send(&method, &format!("{path}?nonsense=1"), &[], b"").await.status, 200);
                continue;
            }
            for query in ["nonsense=1", "n%6Fnsense", "pp=true&nonsense=&pp=false"] {
                let answer = server.send(&method, &format!("{path}?{query}"), &[], b"{}").await;
                refused(&answer, "nonsense", &format!("{method} {path}?{query}"));
            }
            if method == "GET" {
                assert_eq!(server.send("HEAD", &format!("{path}?nonsense=1"), &[], b"").await.status, 400);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_compressed_body_is_refused_as_such() {
    on_every_store(async |server| {
        let gzipped = b"\x1f\x8b\x08\x00\x00\x00\x00\x00";
        for (encoding, body) in
            [("gzip", &gzipped[..]), ("identity, br", b"{}"), ("zstd", b"{\"events\":[1]}")]
        {
            let headers = [("Content-Encoding", encoding)];
            let answer = server.send("POST", "/streams/s", &headers, body).await;
            answer.refuses_like(415, "UNSUPPORTED_ENCODING", &format!("\"{encoding}\""));
            let typed = server.send("POST", "/typed/streams/account", &headers, body).await;
            assert_eq!(typed.status, 415, "{}", typed.text());
            assert!(typed.json()["message"].as_str().unwrap().contains(encoding), "{}", typed.text());
        }
        let nowhere = server.send("POST", "/nowhere", &[("Content-Encoding", "gzip")], gzipped).await;
        assert_eq!(nowhere.text(), r#"{"message":"Invalid endpoint"}"#);
        assert_eq!(server.get("/changesets").await.numbers("changesets", "checkpoint"), [0; 0]);
        for (stream, encoding) in [("a", "identity"), ("b", "IDENTITY"), ("c", "")] {
            let headers = [("Content-Encoding", encoding)];
            let plain =
                server.send("POST", &format!("/streams/{stream}"), &headers, b"{\"events\":[1]}").await;
            assert_eq!(plain.status, 200, "{}", plain.text());
        }
    })
    .await;
}

#[tokio::test]
async fn every_endpoint_with_a_body_refuses_a_member_that_it_does_not_know() {
    on_every_store(async |server| {
        let api = server.get("/openapi.json").await.json();
        let writing = operations(&api).into_iter().filter(|(method, _)| method != "GET");
        let writing: Vec<_> = writing.collect();
        assert_eq!(writing.len(), 4, "{writing:?}");
        for (method, path) in writing {
            let answer = server.send(&method, &path, &[], br#"{"nonsense":1}"#).await;
            refused(&answer, "nonsense", &format!("{method} {path}"));
        }
        assert_eq!(server.get("/changesets").await.numbers("changesets", "checkpoint"), [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_misspelt_name_is_told_with_the_one_that_was_meant() {
    on_every_store(async |server| {
        for (target, message) in [
            ("/changesets?limt=5", "The query parameter \"limt\" is unknown here. Did you mean \"limit\"?"),
            (
                "/streams/s/events?direction=backwards",
                "The query parameter \"direction\" is unknown here. There are: from, to, since, limit, pp.",
            ),
            ("/version?x=1", "The query parameter \"x\" is unknown here. There are none."),
        ] {
            server.get(target).await.refuses(400, "UNKNOWN_PARAMETER", message);
        }
        let commit = server.post("/streams/s?expected_last_changset=2", "{\"events\":[1]}").await;
        commit.refuses_like(400, "UNKNOWN_PARAMETER", "Did you mean \"expected_last_changeset\"?");
        let commit = server.post("/streams/s", r#"{"events":[1],"meta":{"user":"ada"}}"#).await;
        let message = "The body has the unknown member \"meta\". Did you mean \"metadata\"?";
        commit.is(400, &json!({"error": "INVALID_BODY", "message": message, "stream_id": "s"}));
        let event = r#"{"initialEvent":{"eventType":"opened","payload":"x","payLoad":"y"}}"#;
        let typed = server.post("/typed/streams/account", event).await;
        refused(&typed, "initialEvent.payLoad", "typed");
        assert_eq!(server.get("/streams/s/events").await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn what_existing_clients_may_send_is_understood() {
    let server = TestServer::over(ees_store::memory::Store::new()).await;
    let committed =
        server.post("/streams/s?expected_last_changeset=&expected_last_event=&pp=true", "{\"events\":[1]}");
    assert_eq!(committed.await.status, 200);
    for target in [
        "/streams/s/changesets?from=&to=&pp=false",
        "/streams/s/events?from=0&to=1&pp=true",
        "/changesets?checkpoint=&limit=&pp=",
        "/version?pp=true",
        "/typed/streams/account?updated-after=&nextPageKey=&stream-next-page-key=",
    ] {
        assert_eq!(server.get(target).await.status, 200, "{target}");
    }
}
