//! Calls the handler with crafted events of API Gateway, for requests that the emulator can't route.

use aws_lambda_events::apigw::ApiGatewayProxyRequest;
use aws_lambda_events::encodings::Body;
use ees_lambda::Environment;
use ees_lambda::api::{Access, Routes};
use ees_projector::dynamodb::{Database, create_table};
use ees_store::http::ApiKeys;
use ees_test_aws::LocalAws;
use serde_json::{Value, json};

async fn routes(keys: ApiKeys) -> Routes {
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    let client = aws_sdk_dynamodb::Client::new(&config);
    ees_store::dynamodb::create_table(&config, "log", false).await.unwrap();
    create_table(&client, "read-models").await.unwrap();
    let environment =
        Environment { role: "api".to_owned(), config, table: "log".to_owned(), telemetry: None };
    let access = Access { keys, origins: None, without_docs: false };
    Routes::new(&environment, Database::new(client, "read-models"), access).await.unwrap()
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
        "pathParameters": {"proxy": path.trim_start_matches('/')}, "stageVariables": null,
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
    let event: ApiGatewayProxyRequest = serde_json::from_str(event).unwrap();
    let answer = routes.answer(event).await.unwrap();
    let Some(Body::Text(text)) = answer.body else { panic!("{answer:?}") };
    (answer.status_code.try_into().unwrap(), text)
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
async fn a_domain_with_a_base_path_has_the_same_routes() {
    let routes = routes(ApiKeys::none()).await;
    let at = |path: &str, resource: &str, parameters: Value| {
        let mut event: Value = serde_json::from_str(&event("GET", path, &[], None)).unwrap();
        event["resource"] = json!(resource);
        event["pathParameters"] = parameters;
        event.to_string()
    };
    let opened = Some(r#"{"events":[1]}"#);
    assert_eq!(call(&routes, "POST", "/streams/a%2F1", &[], opened).await.0, 200);
    for base in ["", "/store", "/store/v1", "/streams"] {
        for (path, resource, parameters) in [
            ("/streams/a%2F1/events", "/streams/{stream_id}/events", json!({"stream_id": "a%2F1"})),
            ("/version", "/version", json!(null)),
            ("/typed/liveness-check", "/typed/{proxy+}", json!({"proxy": "liveness-check"})),
            ("/health/ready", "/{proxy+}", json!({"proxy": "health/ready"})),
        ] {
            let (status, told) = answered(&routes, &at(&format!("{base}{path}"), resource, parameters)).await;
            assert_eq!(status, 200, "{base}{path}: {told}");
        }
    }
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
