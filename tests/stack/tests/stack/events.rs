//! Calls the handler with crafted events of API Gateway, for requests that the emulator can't route.

use axum::body::to_bytes;
use ees_lambda::Environment;
use ees_lambda::api::Routes;
use ees_projector::dynamodb::{Database, create_table};
use ees_store::http::ApiKeys;
use ees_test_aws::LocalAws;
use serde_json::{Value, json};

const BODY_MAX: usize = 8 * 1024 * 1024;

async fn routes(keys: ApiKeys) -> Routes {
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    let client = aws_sdk_dynamodb::Client::new(&config);
    ees_store::dynamodb::create_table(&config, "log", false).await.unwrap();
    create_table(&client, "read-models").await.unwrap();
    let environment =
        Environment { role: "api".to_owned(), config, table: "log".to_owned(), telemetry: None };
    Routes::new(&environment, Database::new(client, "read-models"), keys).await.unwrap()
}

/// The signer, as API Gateway adds it after it has verified the signature.
const SIGNED: &str = r#","userArn":"arn:aws:iam::123456789012:user/ada""#;

/// An event as a REST API of API Gateway delivers it: the path is as it was sent, the query is decoded.
fn event(method: &str, path: &str, query: &[(&str, &str)], body: Option<&str>) -> String {
    let values = |(name, value): &(&str, &str)| ((*name).to_owned(), json!([value]));
    let query: serde_json::Map<_, _> = query.iter().map(values).collect();
    json!({
        "resource": "/{proxy+}", "path": path, "httpMethod": method,
        "headers": {"Host": "id.execute-api.eu-central-1.amazonaws.com", "Authorization": "Bearer key"},
        "multiValueHeaders": {"Host": ["id.execute-api.eu-central-1.amazonaws.com"], "Authorization": ["Bearer key"]},
        "queryStringParameters": null, "multiValueQueryStringParameters": query,
        "pathParameters": {"proxy": path}, "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "resourceId": "r", "stage": "v1", "requestId": "i",
            "identity": {"sourceIp": "127.0.0.1", "userArn": "arn:aws:iam::123456789012:user/ada"}, "resourcePath": "/{proxy+}", "httpMethod": method,
            "path": format!("/v1{path}"), "apiId": "id",
        },
        "body": body, "isBase64Encoded": false,
    })
    .to_string()
}

async fn text(
    routes: &Routes,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    body: Option<&str>,
) -> (u16, String) {
    answered(routes, &event(method, path, query, body)).await
}

async fn answered(routes: &Routes, event: &str) -> (u16, String) {
    let response = routes.answer(lambda_http::request::from_str(event).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), BODY_MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn call(
    routes: &Routes,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
    body: Option<&str>,
) -> (u16, Value) {
    let (status, text) = text(routes, method, path, query, body).await;
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_slash_in_a_stream_id_is_no_slash_of_the_path() {
    let routes = routes(ApiKeys::none()).await;
    let id = "axum/src/ä b%41.rs";
    let path = "/streams/axum%2Fsrc%2F%C3%A4%20b%2541.rs";
    let committed = json!({"stream_id": id, "changeset_id": 1});
    assert_eq!(call(&routes, "POST", path, &[], Some(r#"{"events":[1]}"#)).await, (200, committed));
    let next = [("expected_last_changeset", "1")];
    assert_eq!(call(&routes, "POST", path, &next, Some(r#"{"events":[2]}"#)).await.0, 200);
    let (status, page) = call(&routes, "GET", &format!("{path}/changesets"), &[("from", "2")], None).await;
    assert_eq!(
        (status, &page["stream_id"], &page["changesets"][0]["events"]),
        (200, &json!(id), &json!([2]))
    );
    assert_eq!(call(&routes, "GET", "/streams/axum/changesets", &[], None).await.0, 404);
}

#[tokio::test]
async fn an_empty_stream_id_is_missing() {
    let routes = routes(ApiKeys::none()).await;
    let commit = Some(r#"{"events":[1]}"#);
    for (method, path, body) in [
        ("POST", "/streams/", commit),
        ("GET", "/streams/", None),
        ("GET", "/streams//changesets", None),
        ("GET", "/streams//events", None),
    ] {
        let (status, problem) = call(&routes, method, path, &[], body).await;
        assert_eq!((status, &problem["error"]), (400, &json!("MISSING_STREAM_ID")), "{method} {path}");
    }
    assert_eq!(call(&routes, "GET", "/", &[], None).await, (404, json!({"message": "Invalid endpoint"})));
}

#[tokio::test]
async fn who_has_not_signed_needs_a_key() {
    let unsigned = event("GET", "/streams", &[], None).replace(SIGNED, "");
    assert!(!unsigned.contains("userArn"));
    for (keys, status) in [("read:key", 200), ("commit:key", 403), ("read:other", 401)] {
        assert_eq!(answered(&routes(keys.parse().unwrap()).await, &unsigned).await.0, status, "{keys}");
    }
    let (status, refused) = answered(&routes(ApiKeys::none()).await, &unsigned).await;
    assert!(status == 401 && refused.contains("UNAUTHORIZED"), "without keys nobody has one: {refused}");
}

#[tokio::test]
async fn whose_signature_was_verified_needs_no_key() {
    for keys in [ApiKeys::none(), "read:other".parse().unwrap()] {
        assert_eq!(call(&routes(keys).await, "GET", "/streams", &[], None).await.0, 200);
    }
}

#[tokio::test]
async fn an_answer_fits_what_lambda_carries() {
    let routes = routes(ApiKeys::none()).await;
    // In an answer, this is twice as long because of escapes.
    let events = format!("{{\"events\":[{}]}}", vec!["\"\""; 100_000].join(","));
    for last in 0..10 {
        let expected = [("expected_last_changeset", &*last.to_string())];
        assert_eq!(call(&routes, "POST", "/streams/a", &expected, Some(&events)).await.0, 200);
    }
    let (mut from, mut read) = ("1".to_owned(), 0);
    loop {
        let (status, page) = text(&routes, "GET", "/streams/a/changesets", &[("from", &from)], None).await;
        let carried = serde_json::to_string(&page).unwrap().len();
        assert!(status == 200 && carried < 6_000_000 && carried > 500_000, "{status} {carried}");
        let page: Value = serde_json::from_str(&page).unwrap();
        read += page["changesets"].as_array().unwrap().len();
        match page.get("next") {
            Some(next) => from = next.to_string(),
            None => break,
        }
    }
    assert_eq!(read, 10);
}
