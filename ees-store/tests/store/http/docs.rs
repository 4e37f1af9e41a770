//! `/openapi.json` and `/docs`.

use std::sync::Arc;

use axum::Json;
use ees_store::http::{ApiKeys, Scope};
use ees_store::memory;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::support::{TestServer, on_every_store};

#[tokio::test]
async fn every_route_is_described() {
    on_every_store(async |server| {
        let api = server.get("/openapi.json").await.json();
        assert_eq!(api["openapi"], "3.1.0");
        assert_eq!(api["info"]["version"], env!("CARGO_PKG_VERSION"));
        let paths = api["paths"].as_object().unwrap();
        let names: Vec<_> = paths.keys().map(String::as_str).collect();
        let mut expected = [
            "/access",
            "/changesets",
            "/changesets/at",
            "/health/live",
            "/health/ready",
            "/metrics",
            "/stream-list",
            "/streams",
            "/streams/{stream_id}",
            "/streams/{stream_id}/changesets",
            "/streams/{stream_id}/events",
            "/version",
            "/typed/liveness-check",
            "/typed/streams/{stream_type}",
            "/typed/streams/{stream_type}/{stream_id}/details",
            "/typed/streams/{stream_type}/{stream_id}/events",
            "/typed/streams/{stream_type}/{stream_id}/events/{revision}",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{operation}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            assert!(parameters.iter().all(|parameter| parameter["description"].is_string()), "{operation}");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let has_content = answer["content"].is_object() || answer["$ref"].is_string();
                assert_eq!(has_content, status != "204", "{operation}");
            }
        }
        assert_eq!(paths["/streams/{stream_id}"]["post"]["security"], json!([{"api_key": ["commit"]}, {}]));
        assert_eq!(paths["/access"]["get"]["security"], json!([{"api_key": []}, {}]));
        assert_eq!(paths["/health/live"]["get"]["security"], json!([{}]));
        // What "Authorize" on the page asks for.
        let scheme = &api["components"]["securitySchemes"]["api_key"];
        assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
        for reference in references(&api) {
            assert!(api.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    })
    .await;
}

fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(entries) => entries.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// An answer has all members that its schema requires, and none that the schema does not know.
pub(super) fn assert_described(api: &Value, schema: &Value, answer: &Value) {
    if let Some(reference) = schema["$ref"].as_str() {
        return assert_described(api, api.pointer(&reference[1..]).unwrap(), answer);
    }
    let parts = schema["allOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
    if parts.iter().all(|part| part.get("properties").is_none()) {
        if let Some(entries) = answer.as_array() {
            entries.iter().for_each(|entry| assert_described(api, &schema["items"], entry));
        }
        return;
    }
    let member = |name: &str| parts.iter().find_map(|part| part["properties"].get(name));
    for (name, value) in answer.as_object().unwrap() {
        let known = member(name).unwrap_or_else(|| panic!("{name} is not described in {schema}"));
        assert_described(api, known, value);
    }
    for name in parts.iter().flat_map(|part| part["required"].as_array().cloned().unwrap_or_default()) {
        assert!(answer.get(name.as_str().unwrap()).is_some(), "{name} is missing in {answer}");
    }
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    on_every_store(async |server| {
        let api = server.get("/openapi.json").await.json();
        let trace = [
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("tracestate", "a=1"),
        ];
        let committed = server.send("POST", "/streams/s", &trace, br#"{"events":[{"a":1},2]}"#).await;
        let conflict = server.post("/streams/s", "{\"events\":[1]}").await;
        let refused = server.post("/streams/s", "{").await;
        let opened = r#"{"initialEvent":{"eventType":"opened","payload":"x"}}"#;
        let typed = server.post("/typed/streams/account", opened).await;
        let typed_refused = server.post("/typed/streams/account", "{").await;
        let id = typed.json()["stream"]["streamId"].as_str().unwrap().to_owned();
        for (path, method, answer) in [
            ("/streams/{stream_id}", "post", committed),
            ("/streams/{stream_id}", "post", conflict),
            ("/streams/{stream_id}", "post", refused),
            ("/streams/{stream_id}/changesets", "get", server.get("/streams/s/changesets").await),
            (
                "/streams/{stream_id}/changesets",
                "get",
                server.get("/streams/s/changesets?include=position").await,
            ),
            ("/streams/{stream_id}/changesets", "get", server.get("/streams/t/changesets").await),
            ("/streams/{stream_id}/events", "get", server.get("/streams/s/events?limit=1").await),
            ("/changesets", "get", server.get("/changesets").await),
            ("/changesets", "get", server.get("/changesets?include=position").await),
            ("/streams", "get", server.get("/streams").await),
            ("/typed/streams/{stream_type}", "post", typed),
            ("/typed/streams/{stream_type}", "post", typed_refused),
            ("/typed/streams/{stream_type}", "get", server.get("/typed/streams/account").await),
            (
                "/typed/streams/{stream_type}/{stream_id}/events",
                "get",
                server.get(&format!("/typed/streams/account/{id}/events")).await,
            ),
            (
                "/typed/streams/{stream_type}/{stream_id}/details",
                "get",
                server.get(&format!("/typed/streams/account/{id}/details")).await,
            ),
        ] {
            let described = &api["paths"][path][method]["responses"][answer.status.to_string()];
            let schema = &described["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "{method} {path} {}", answer.status);
            assert_described(&api, schema, &answer.json());
        }
    })
    .await;
}

/// A thing of another crate.
#[utoipa::path(get, path = "/thing", responses((status = 200, description = "It.")))]
async fn see_thing() -> Json<&'static str> {
    Json("it")
}

#[tokio::test]
async fn routes_that_are_added_are_described_too() {
    let routes = OpenApiRouter::new().routes(routes!(see_thing));
    let server =
        TestServer::with(Arc::new(memory::Store::new()), |api| api.with_routes(Scope::Admin, routes)).await;
    let api = server.get("/openapi.json").await.json();
    let thing = &api["paths"]["/thing"]["get"];
    assert_eq!(thing["summary"], "A thing of another crate.");
    assert_eq!(thing["security"], json!([{"api_key": ["admin"]}, {}]));
    assert_eq!(thing["responses"]["503"]["$ref"], "#/components/responses/Unavailable");
    assert_eq!(server.get("/thing").await.text(), "\"it\"");
}

#[tokio::test]
async fn the_description_of_a_server_with_keys_says_that_calls_need_one() {
    let keys = "8Cq2o5nYyP".parse::<ApiKeys>().unwrap();
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_keys(keys)).await;
    let api = server.get("/openapi.json").await.json();
    assert_eq!(api["paths"]["/changesets"]["get"]["security"], json!([{"api_key": ["read"]}]));
    assert_eq!(api["paths"]["/health/ready"]["get"]["security"], json!([{}]));
}

#[tokio::test]
async fn the_page_needs_no_network() {
    on_every_store(async |server| {
        let redirect = server.get("/docs").await;
        assert_eq!((redirect.status, redirect.header("location")), (303, Some("docs/")));
        let page = server.get("/docs/").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
        let links: Vec<_> = page.text().split(['"', '\'']).filter(|part| part.starts_with("./")).collect();
        assert!(links.contains(&"./swagger-ui-bundle.js"), "{}", page.text());
        for link in links {
            let asset = server.get(&format!("/docs/{}", &link[2..])).await;
            assert_eq!(asset.status, 200, "{link}");
            assert!(!asset.body.is_empty());
        }
        assert!(!page.text().contains("//"), "{}", page.text());
        let start = server.get("/docs/swagger-initializer.js").await;
        assert!(
            start.text().contains("\"../openapi.json\"")
                && start.text().contains("\"validatorUrl\": \"none\"")
        );
        assert!(!start.text().contains("://"), "{}", start.text());
        for shown in [&redirect, &page, &start, &server.get("/openapi.json").await] {
            assert_eq!(shown.header("x-frame-options"), Some("DENY"));
            assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(shown.header("content-security-policy"), Some("frame-ancestors 'none'"));
        }
    })
    .await;
}
