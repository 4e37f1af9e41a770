//! API keys and their scopes.

use std::sync::Arc;

use axum::Json;
use ees_store::http::{Api, ApiKeys, Scope};
use ees_store::memory;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::support::{Answer, TestServer, exchange, request};

const COMMIT: &[u8] = br#"{"events":[1]}"#;

/// Set the thing.
#[utoipa::path(post, path = "/thing", responses((status = 200, description = "Set.")))]
async fn set_thing() -> Json<&'static str> {
    Json("set")
}

/// See the thing.
#[utoipa::path(get, path = "/thing", responses((status = 200, description = "It.")))]
async fn see_thing() -> Json<&'static str> {
    Json("it")
}

async fn server() -> TestServer {
    let keys = ApiKeys::parse(
        "all,read:r,commit:c,read+commit:rc,admin:a,\
         read:sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    );
    TestServer::with(Arc::new(memory::Store::new()), |api| {
        api.with_keys(keys.unwrap())
            .with_routes(Scope::Read, OpenApiRouter::new().routes(routes!(see_thing)))
            .with_routes(Scope::Admin, OpenApiRouter::new().routes(routes!(set_thing)))
    })
    .await
}

const CALLS: [(&str, &str, Scope); 9] = [
    ("GET", "/streams", Scope::Read),
    ("GET", "/streams/", Scope::Read),
    ("GET", "/streams/s/changesets", Scope::Read),
    ("GET", "/streams/s/events", Scope::Read),
    ("GET", "/changesets", Scope::Read),
    ("GET", "/version", Scope::Read),
    ("GET", "/metrics", Scope::Read),
    ("GET", "/thing", Scope::Read),
    ("POST", "/thing", Scope::Admin),
];

#[tokio::test]
async fn each_call_needs_a_key_with_its_scope() {
    let server = server().await;
    for (key, scopes) in [
        ("all", vec![Scope::Read, Scope::Commit, Scope::Admin]),
        ("a", vec![Scope::Read, Scope::Commit, Scope::Admin]),
        ("rc", vec![Scope::Read, Scope::Commit]),
        ("r", vec![Scope::Read]),
        ("test", vec![Scope::Read]),
        ("c", vec![Scope::Commit]),
    ] {
        let bearer = format!("Bearer {key}");
        let headers = [("Authorization", bearer.as_str())];
        for (method, target, scope) in CALLS.into_iter().chain([("POST", "/streams/s", Scope::Commit)]) {
            let answer = server.send(method, target, &headers, COMMIT).await;
            if scopes.contains(&scope) {
                assert!(!matches!(answer.status, 401 | 403), "{key} {method} {target}");
            } else {
                let message = format!("This call needs an API key with the scope `{scope}`.");
                answer.is(403, &json!({"error": "FORBIDDEN", "message": message}));
            }
        }
        let lost = server.send("GET", "/nowhere", &headers, b"").await;
        assert_eq!(lost.text(), r#"{"message":"Invalid endpoint"}"#);
        assert_eq!(server.send("DELETE", "/changesets", &headers, b"").await.status, 405);
    }
}

#[tokio::test]
async fn without_a_known_key_nothing_is_told_but_health_and_the_description() {
    let server = server().await;
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "bearer",
        "Basic all",
        "all",
        "Bearer all x",
        "Bearer read:r",
    ] {
        let headers = [("Authorization", authorization)];
        let others = [
            ("POST", "/streams/s", Scope::Commit),
            ("GET", "/nowhere", Scope::Read),
            ("PUT", "/version", Scope::Read),
        ];
        for (method, target, _) in CALLS.into_iter().chain(others) {
            let answer = server.send(method, target, &headers, COMMIT).await;
            assert_eq!(
                (answer.status, &answer.json()["error"]),
                (401, &json!("UNAUTHORIZED")),
                "{method} {target}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(answer.header("x-request-id").is_some());
        }
    }
    assert_eq!(server.get("/changesets").await.status, 401);
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(server.get("/health/ready").await.status, 200);
    assert_eq!(server.get("/health/other").await.status, 401);
    for target in ["/openapi.json", "/docs", "/docs/", "/docs/swagger-ui.css"] {
        assert!(matches!(server.get(target).await.status, 200 | 303), "{target}");
    }
    assert_eq!(server.get("/docs/../version").await.status, 404);
}

#[tokio::test]
async fn a_key_is_told_what_it_may_do() {
    let server = server().await;
    for (key, scopes) in [
        ("all", json!(["read", "commit", "admin"])),
        ("a", json!(["read", "commit", "admin"])),
        ("rc", json!(["read", "commit"])),
        ("test", json!(["read"])),
        ("c", json!(["commit"])),
    ] {
        let bearer = format!("Bearer {key}");
        let answer = server.send("GET", "/access", &[("Authorization", &bearer)], b"").await;
        answer.is(200, &json!({ "scopes": scopes }));
    }
    assert_eq!(server.get("/access").await.status, 401);
    let open = TestServer::with(Arc::new(memory::Store::new()), |api| api).await;
    open.get("/access").await.is(200, &json!({ "scopes": ["read", "commit", "admin"] }));
}

#[tokio::test]
async fn the_console_needs_no_key_and_can_be_left_out() {
    let server = server().await;
    for (target, status) in
        [("/console", 303), ("/console/", 200), ("/console/console.js", 200), ("/console/none.js", 404)]
    {
        assert_eq!(server.get(target).await.status, status, "{target}");
    }
    assert_eq!(server.get("/console/../version").await.status, 404);
    assert_eq!(server.get("/consoles").await.status, 401);
    let browser = [("Accept", "text/html,*/*")];
    assert_eq!(server.send("GET", "/", &browser, b"").await.header("location"), Some("console/"));
    assert_eq!(server.send("POST", "/", &browser, b"").await.status, 401);
    let without = TestServer::with(Arc::new(memory::Store::new()), Api::without_console).await;
    for target in ["/", "/console", "/console/", "/console/console.js"] {
        assert_eq!(without.send("GET", target, &browser, b"").await.status, 404, "{target}");
    }
}

#[tokio::test]
async fn the_description_can_be_left_out() {
    let with_keys = |api: Api| api.with_keys(ApiKeys::parse("read:r").unwrap()).without_docs();
    let server = TestServer::with(Arc::new(memory::Store::new()), with_keys).await;
    for target in ["/openapi.json", "/docs", "/docs/"] {
        assert_eq!(server.get(target).await.status, 401, "{target}");
        let with_key = server.send("GET", target, &[("Authorization", "Bearer r")], b"").await;
        assert_eq!(with_key.status, 404, "{target}");
    }
}

/// Sends a request with these lines instead of the `Host` that every other test sends.
async fn for_host(server: &TestServer, method: &str, target: &str, host: &str) -> Answer {
    let whole = request(method, target, &[], b"{\"events\":[1]}");
    let whole = String::from_utf8(whole).unwrap().replace("Host: localhost\r\n", host);
    exchange(server.address(), whole.as_bytes()).await
}

#[tokio::test]
async fn without_keys_only_names_of_this_machine_are_answered() {
    let evil = [
        "Host: evil.example\r\n",
        "Host: evil.example:80\r\n",
        "Host: localhost.evil.example\r\n",
        "Host: \r\n",
    ];
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_hosts(["ees.test"])).await;
    for host in evil {
        for (method, target) in [
            ("GET", "/changesets"),
            ("POST", "/streams/s"),
            ("GET", "/docs/"),
            ("GET", "/nowhere"),
            ("GET", "/metrics"),
        ] {
            let answer = for_host(&server, method, target, host).await;
            answer.refuses_like(421, "UNKNOWN_HOST", "`hosts`");
        }
        assert_eq!(for_host(&server, "GET", "/health/live", host).await.status, 200);
    }
    let elsewhere = for_host(&server, "GET", "http://evil.example/changesets", "Host: localhost\r\n").await;
    assert_eq!(elsewhere.status, 421);
    for host in ["Host: 127.0.0.1:7070\r\n", "Host: [::1]\r\n", "Host: ees.test:1\r\n", ""] {
        assert_eq!(for_host(&server, "GET", "/changesets", host).await.status, 200, "{host}");
    }
    let open = TestServer::with(Arc::new(memory::Store::new()), Api::for_any_host).await;
    let keys = |api: Api| api.with_keys(ApiKeys::parse("read:r").unwrap());
    let with_keys = TestServer::with(Arc::new(memory::Store::new()), keys).await;
    for host in evil {
        assert_eq!(for_host(&open, "GET", "/changesets", host).await.status, 200);
        assert_eq!(for_host(&with_keys, "GET", "/changesets", host).await.status, 401);
    }
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused() {
    let server = TestServer::with(Arc::new(memory::Store::new()), Api::for_any_host).await;
    let twice = "Host: localhost\r\nHost: localhost\r\n";
    for target in ["/changesets", "/health/live"] {
        for_host(&server, "GET", target, twice).await.refuses_like(400, "INVALID_HEADER", "Host");
    }
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case() {
    let server = server().await;
    assert_eq!(server.send("GET", "/version", &[("Authorization", "bEARER r")], b"").await.status, 200);
}

#[tokio::test]
async fn without_keys_everything_is_open() {
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| {
        api.with_routes(Scope::Admin, OpenApiRouter::new().routes(routes!(set_thing)))
    })
    .await;
    assert_eq!(server.post("/thing", "").await.text(), "\"set\"");
}

#[tokio::test]
async fn without_keys_a_page_of_another_site_can_not_write() {
    let server = TestServer::over(memory::Store::new()).await;
    let own = [("Origin", "http://localhost")];
    assert_eq!(server.send("POST", "/streams/own", &own, COMMIT).await.status, 200);
    for elsewhere in ["http://evil.example", "https://test.evil.example", "null", "http://localhost:8080"] {
        let answer = server.send("POST", "/streams/s", &[("Origin", elsewhere)], COMMIT).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (403, Some("FORBIDDEN")), "{elsewhere}");
    }
    assert_eq!(server.get("/streams/s/events").await.status, 404);
}

#[tokio::test]
async fn a_key_that_may_only_commit_learns_nothing_from_a_conflict() {
    let server = server().await;
    let commit = async |key: &str| {
        let bearer = format!("Bearer {key}");
        server.send("POST", "/streams/s", &[("Authorization", &bearer)], COMMIT).await
    };
    assert_eq!(commit("c").await.status, 200);
    let refused = commit("c").await;
    assert_eq!((refused.status, refused.json().get("forthcoming_changesets")), (409, None));
    assert!(commit("rc").await.json()["forthcoming_changesets"].is_array());
}
