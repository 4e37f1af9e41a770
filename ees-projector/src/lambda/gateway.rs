//! An API behind API Gateway: its events as HTTP requests, and HTTP responses as what it expects of a function.

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use aws_lambda_events::encodings::Body as Carried;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ees_store::TraceContext;
use ees_store::http::{Api, ApiKeys, EscapedAnswer, Problem};
use form_urlencoded::Serializer;
use lambda_runtime::Error;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tower::ServiceExt as _;

use crate::Handle;
use crate::http::serve::router;

/// How long an answer may take. API Gateway gives up after 29 s, and tells the caller nothing.
const ANSWER_MAX: Duration = Duration::from_secs(28);

/// An API as a function behind a REST API of API Gateway.
///
/// The REST API must have `BinaryMediaTypes: ["*/*"]`, and lead all paths to the function (`AWS_PROXY`). Its base path
/// is found, whether it is a stage or that of a domain.
pub struct Gateway {
    /// The routes for callers whose signature API Gateway has verified.
    signed: Router,
    /// The routes for all others, who need a key. So nobody gets in without one while a stack changes from
    /// keys to signatures or back, when the function and API Gateway may briefly differ.
    other: Router,
}

impl Gateway {
    /// An API for callers whose signature API Gateway has verified (`AuthorizationType: AWS_IAM`), who may call
    /// everything that their policies allow, and for callers with one of these keys. `api` makes it twice.
    pub fn new(api: impl Fn() -> Api, keys: ApiKeys) -> Self {
        Self { signed: api().for_any_host().router(), other: api().with_keys(keys).router() }
    }

    /// The routes for operators of projections, without a store.
    pub(super) fn of_projections(handle: &Handle, keys: ApiKeys) -> Self {
        // A browser can't sign its calls.
        let signed = router(handle, |api| api.for_any_host().without_console());
        let other = router(handle, |api| api.with_keys(keys).without_console());
        Self { signed, other }
    }

    /// Answers an event of a REST API within 28 s. What takes longer is cut off: the caller gets a 504.
    ///
    /// # Errors
    /// When the event is none that API Gateway makes. Every other failure becomes a response.
    pub async fn answer(&self, event: ApiGatewayProxyRequest) -> Result<ApiGatewayProxyResponse, Error> {
        let router = if is_signed(&event) { &self.signed } else { &self.other };
        let mut request = request(event)?;
        request.extensions_mut().insert(EscapedAnswer);
        follow_xray(request.headers_mut());
        match tokio::time::timeout(ANSWER_MAX, router.clone().oneshot(request)).await {
            Ok(answered) => response(answered?).await,
            Err(_) => response(too_late().into_response()).await,
        }
    }
}

fn too_late() -> Problem {
    let seconds = ANSWER_MAX.as_secs();
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "TIMEOUT",
        format!(
            "This takes longer than the {seconds} s that a function behind API Gateway has, and nothing of it goes on after \
             this answer. If it was to change something, look whether it has."
        ),
    )
}

/// A caller without a trace of its own belongs to the one that API Gateway records in AWS X-Ray, if it does.
fn follow_xray(headers: &mut HeaderMap) {
    if headers.contains_key("traceparent") {
        return;
    }
    let xray = headers.get("x-amzn-trace-id").and_then(|header| header.to_str().ok());
    let Some(trace) = xray.and_then(TraceContext::from_xray) else { return };
    for (name, value) in trace.headers() {
        headers.extend(HeaderValue::from_str(value).map(|value| (HeaderName::from_static(name), value)));
    }
}

/// Whether API Gateway has verified a signature. Only then it names the caller.
fn is_signed(event: &ApiGatewayProxyRequest) -> bool {
    event.request_context.identity.user_arn.is_some()
}

/// What can't stand in the path of a request. An escape stays as it was sent.
const NOT_IN_PATHS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// The request in an event of a REST API.
///
/// # Errors
/// When the event is none that API Gateway makes.
pub(crate) fn request(event: ApiGatewayProxyRequest) -> Result<Request<Body>, Error> {
    let uri = uri(&event)?;
    let body = match event.body {
        Some(text) if event.is_base64_encoded => BASE64.decode(text)?.into(),
        Some(text) => text.into(),
        None => Body::empty(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = event.http_method;
    *request.uri_mut() = uri;
    // The first are all, and the others the last of each name.
    let headers =
        if event.multi_value_headers.is_empty() { event.headers } else { event.multi_value_headers };
    *request.headers_mut() = headers;
    Ok(request)
}

/// The answer to an event. What is no text is sent in base64, which API Gateway decodes.
///
/// # Errors
/// When the body breaks off.
async fn response(response: Response) -> Result<ApiGatewayProxyResponse, Error> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await?;
    let mut answer = ApiGatewayProxyResponse::default();
    answer.status_code = parts.status.as_u16().into();
    answer.multi_value_headers = parts.headers;
    let body = String::from_utf8(body.into());
    let body = body.map_or_else(|binary| Carried::Binary(binary.into_bytes()), Carried::Text);
    answer.is_base64_encoded = matches!(body, Carried::Binary(_));
    answer.body = Some(body);
    Ok(answer)
}

fn uri(event: &ApiGatewayProxyRequest) -> Result<Uri, Error> {
    let path = event.path.as_deref().unwrap_or("/");
    let resource = event.resource.as_deref().unwrap_or_default();
    let path = utf8_percent_encode(own_path(path, resource, &event.path_parameters), NOT_IN_PATHS);
    let values = &event.multi_value_query_string_parameters;
    let values = if values.is_empty() { &event.query_string_parameters } else { values };
    // API Gateway has decoded them.
    let query = Serializer::new(String::new()).extend_pairs(values.iter()).finish();
    let path_and_query = if query.is_empty() { path.to_string() } else { format!("{path}?{query}") };
    Ok(PathAndQuery::try_from(path_and_query)?.into())
}

/// The part of a path that the API itself has, without what a domain of one's own puts before it: its base path, and
/// the stage, if the domain does not fix one.
///
/// No member of the event names these. So this is the longest end of the path that fits the resource as which API
/// Gateway has routed the call. The path, and not the parameters in it, is what keeps its escapes: `a%2Fb` is one
/// segment.
fn own_path<'a>(path: &'a str, resource: &str, parameters: &HashMap<String, String>) -> &'a str {
    if resource == "/" {
        return "/";
    }
    let mut ends = path.match_indices('/').filter_map(|(at, _)| path.get(at..));
    ends.find(|end| fits(end, resource, parameters)).unwrap_or(path)
}

/// Whether a path is one of a resource, such as `/streams/{stream_id}` or `/{proxy+}`.
fn fits(path: &str, resource: &str, parameters: &HashMap<String, String>) -> bool {
    let (mut segments, mut path) = (resource.trim_start_matches('/').split('/'), path.strip_prefix('/'));
    segments.all(|segment| {
        let Some(rest) = path else { return false };
        if let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix("+}")) {
            path = None;
            let is_given = |given: &String| given == rest || percent_decode_str(rest).eq(given.bytes());
            return parameters.get(name).is_none_or(is_given);
        }
        let (first, others) =
            rest.split_once('/').map_or((rest, None), |(first, others)| (first, Some(others)));
        path = others;
        segment.starts_with('{') || segment == first
    }) && path.is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An event as a REST API makes it: the path as it was sent, the query decoded.
    fn event(path: &str, resource: &str, parameters: &Value) -> ApiGatewayProxyRequest {
        let event = json!({
            "resource": resource, "path": path, "httpMethod": "GET", "headers": {}, "multiValueHeaders": {},
            "queryStringParameters": null, "multiValueQueryStringParameters": null,
            "pathParameters": parameters, "stageVariables": null,
            "requestContext": {"resourcePath": resource, "httpMethod": "GET", "stage": "v1"},
            "body": null, "isBase64Encoded": false,
        });
        serde_json::from_value(event).expect("an event")
    }

    #[test]
    fn a_path_keeps_its_escapes_and_loses_what_a_domain_puts_before_it() {
        let id = json!({"stream_id": "a%2Fb"});
        let greedy = |path: &str| json!({"proxy": path});
        for (path, resource, parameters) in [
            ("/streams", "/streams", json!(null)),
            ("/streams/a%2Fb", "/streams/{stream_id}", id.clone()),
            ("/streams/a%2Fb/events", "/streams/{stream_id}/events", id),
            ("/streams/%2E%2E/events", "/streams/{stream_id}/events", json!({"stream_id": ".."})),
            ("/streams/streams", "/streams/{stream_id}", json!({"stream_id": "streams"})),
            ("/streams/", "/streams", json!(null)),
            ("/streams//events", "/{proxy+}", greedy("streams//events")),
            ("/health/ready", "/{proxy+}", greedy("health/ready")),
            ("/streams/a%2Fb/c", "/{proxy+}", greedy("streams/a/b/c")),
            ("/typed/streams/account/7", "/typed/{proxy+}", greedy("streams/account/7")),
            ("/", "/", json!(null)),
        ] {
            // Without a domain of one's own, with a base path, with a longer one that looks like a route, with the stage.
            for base in ["", "/store", "/streams/v2", "/store/v1", "/typed"] {
                let routed = uri(&event(&format!("{base}{path}"), resource, &parameters)).expect("a URI");
                assert_eq!(routed, path, "{base}{path}");
            }
        }
    }

    #[test]
    fn a_path_that_fits_no_route_stays_as_it_is() {
        // As an HTTP API has it, which decodes `%2F`.
        let parameters = json!({"stream_id": "a/b"});
        let decoded = event("/streams/a/b/events", "/streams/{stream_id}/events", &parameters);
        assert_eq!(uri(&decoded).expect("a URI"), "/streams/a/b/events");
        assert_eq!(uri(&event("/a ä", "", &json!(null))).expect("a URI"), "/a%20%C3%A4");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_text_is_sent_in_base64() {
        for (body, carried, is_base64) in
            [(b"# EOF".as_slice(), "# EOF", false), ("ä".as_bytes(), "ä", false), (b"\x1f\xff", "H/8=", true)]
        {
            let sent = response(Response::new(Body::from(body))).await.expect("an answer");
            let sent = serde_json::to_value(sent).expect("JSON");
            assert_eq!((&sent["body"], &sent["isBase64Encoded"]), (&json!(carried), &json!(is_base64)));
        }
    }

    #[tokio::test]
    async fn a_body_in_base64_is_taken_as_the_bytes_that_were_sent() {
        let mut event = event("/streams/a", "/streams/{stream_id}", &json!({"stream_id": "a"}));
        (event.body, event.is_base64_encoded) = (Some("H/8=".to_owned()), true);
        let body = request(event).expect("a request").into_body();
        assert_eq!(to_bytes(body, 9).await.expect("a body"), b"\x1f\xff".as_slice());
    }

    #[test]
    fn a_query_is_encoded_again() {
        let mut event = event("/changesets", "/changesets", &json!(null));
        let query = json!({"a": ["1&b=2", "ä"]});
        event.multi_value_query_string_parameters = serde_json::from_value(query).expect("parameters");
        assert_eq!(uri(&event).expect("a URI"), "/changesets?a=1%26b%3D2&a=%C3%A4");
    }
}
