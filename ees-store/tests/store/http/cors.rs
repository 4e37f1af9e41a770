//! Pages of other sites that call the API from a browser.

use std::sync::Arc;

use ees_store::http::Api;
use ees_store::memory;

use super::support::{Answer, TestServer};

const PAGE: &str = "https://app.example.com";
const COMMIT: &[u8] = br#"{"events":[1]}"#;

async fn server(change: impl FnOnce(Api) -> Api) -> TestServer {
    TestServer::with(Arc::new(memory::Store::new()), change).await
}

/// What a browser asks before a page of this origin commits.
async fn asked(server: &TestServer, origin: &str) -> Answer {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,idempotency-key"),
    ];
    server.send("OPTIONS", "/streams/a", &headers, b"").await
}

#[tokio::test]
async fn by_default_no_page_of_another_site_may_call() {
    let server = server(|api| api).await;
    asked(&server, PAGE).await.refuses_like(405, "METHOD_NOT_ALLOWED", "");
    server.send("POST", "/streams/a", &[("Origin", PAGE)], COMMIT).await.refuses_like(
        403,
        "FORBIDDEN",
        "page",
    );
    let read = server.send("GET", "/changesets", &[("Origin", PAGE)], b"").await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn pages_that_are_named_may_call_and_read_the_answers() {
    for keys in [None, Some("all".parse().unwrap())] {
        let has_keys = keys.is_some();
        let server = server(|api| {
            let api = api.with_cors(format!("http://localhost:5173,{PAGE}").parse().unwrap());
            if let Some(keys) = keys { api.with_keys(keys) } else { api }
        })
        .await;
        let allowed = asked(&server, PAGE).await;
        let header = |name: &str| allowed.header(name).map(str::to_owned);
        assert_eq!((allowed.status, header("access-control-allow-origin").as_deref()), (200, Some(PAGE)));
        assert_eq!(header("access-control-allow-methods").as_deref(), Some("POST"));
        assert_eq!(header("access-control-allow-headers").as_deref(), Some("authorization,idempotency-key"));
        assert_eq!(header("access-control-max-age").as_deref(), Some("3600"));

        let key = [("Origin", PAGE), ("Authorization", "Bearer all")];
        let committed = server.send("POST", "/streams/a", &key, COMMIT).await;
        assert_eq!((committed.status, committed.header("access-control-allow-origin")), (200, Some(PAGE)));
        let exposed = committed.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("ees-checkpoint") && exposed.contains("x-request-id"), "{exposed}");
        assert!(committed.header("vary").unwrap().contains("origin"), "{:?}", committed.headers);
        // It can read why it is refused, too.
        let refused = server.send("GET", "/changesets?limit=0", &key[..1], b"").await;
        assert_eq!(refused.status, if has_keys { 401 } else { 400 });
        assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE));

        let elsewhere = asked(&server, "https://evil.example").await;
        assert_eq!(elsewhere.header("access-control-allow-origin"), None);
        let written = server.send("POST", "/streams/b", &[("Origin", "https://evil.example")], COMMIT).await;
        assert_eq!(written.status, if has_keys { 401 } else { 403 });
    }
}

#[tokio::test]
async fn with_keys_pages_of_every_site_may_call() {
    let server = server(|api| api.with_cors("*".parse().unwrap()).with_keys("all".parse().unwrap())).await;
    assert_eq!(asked(&server, PAGE).await.header("access-control-allow-origin"), Some("*"));
    let read =
        server.send("GET", "/changesets", &[("Origin", PAGE), ("Authorization", "Bearer all")], b"").await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some("*")));
}
