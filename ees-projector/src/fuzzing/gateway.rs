//! Events of API Gateway.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::ApiGatewayProxyRequest;
use axum::http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::lambda::gateway::request;

/// A request that API Gateway passes on comes to the same path, with the same parameters; any other event is refused, or
/// has a path of its own. The input: a target, or an event as JSON.
pub fn gateway(data: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<ApiGatewayProxyRequest>(data) {
        let path = event.path.clone().unwrap_or_else(|| "/".to_owned());
        if let Ok(request) = request(event) {
            let routed = plain(request.uri().path());
            assert!(routed == b"/" || plain(&path).ends_with(&routed), "{path:?} was led to {routed:?}");
        }
    }
    let Some(uri) = str::from_utf8(data).ok().and_then(|text| text.parse::<Uri>().ok()) else { return };
    // What is no path of a request, such as `*` or a name alone.
    if !uri.path().starts_with('/') || uri.authority().is_some() {
        return;
    }
    let Ok(event) = serde_json::from_value(event(&uri)) else { panic!("it is no event: {uri}") };
    let routed = request(event).map(|request| request.uri().clone());
    let Ok(routed) = routed else { panic!("{uri} was refused") };
    assert_eq!(plain(routed.path()), plain(uri.path()));
    assert_eq!(
        routed.path().matches('/').count(),
        uri.path().matches('/').count(),
        "an escaped slash is none"
    );
    assert_eq!(parameters(&routed), parameters(&uri));
}

fn plain(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn parameters(uri: &Uri) -> BTreeMap<String, Vec<String>> {
    let mut parameters = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        parameters.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    parameters
}

/// As a REST API makes it: the path as it was sent, the query decoded.
fn event(uri: &Uri) -> Value {
    let path = uri.path();
    let (resource, parameters_of_path) = match path {
        "/" => ("/", json!(null)),
        _ => ("/{proxy+}", json!({"proxy": String::from_utf8_lossy(&plain(&path[1..]))})),
    };
    json!({
        "resource": resource, "path": path, "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
        "queryStringParameters": null, "multiValueQueryStringParameters": parameters(uri),
        "pathParameters": parameters_of_path, "stageVariables": null,
        "requestContext": {"resourcePath": resource, "httpMethod": "GET", "stage": "v1"},
        "body": null, "isBase64Encoded": false,
    })
}
