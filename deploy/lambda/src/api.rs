//! The HTTP API behind API Gateway.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use ees_projections::Statistics;
use ees_projector::dynamodb::Database;
use ees_store::TraceContext;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_store::http::{Api, ApiKeys, EscapedAnswer, StatisticsSource};
use lambda_http::RequestExt;
use lambda_http::request::RequestContext;
use lambda_runtime::Error;
use tower::ServiceExt;

use crate::environment::given;
use crate::{Environment, calls};

/// Serves the API until the runtime ends the process.
///
/// # Errors
/// When the table can't be used, when the API keys can't be parsed, or when the process does not run in a
/// Lambda runtime.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let keys = given("EES_API_KEYS").map_or_else(|| Ok(ApiKeys::none()), |keys| keys.parse())?;
    let routes = &Routes::new(environment, environment.read_models()?, keys).await?;
    let telemetry = environment.telemetry.as_ref();
    let answer = move |event| async move {
        let answered = routes.answer(event).await;
        calls::flush(telemetry).await;
        answered
    };
    lambda_http::run(tower::service_fn(answer)).await
}

/// The routes of the stack's API.
pub struct Routes {
    /// The routes for callers whose signature API Gateway has verified.
    signed: Router,
    /// The routes for all others, who need a key. So nobody gets in without one while the stack changes from
    /// keys to signatures or back, when the function and API Gateway may briefly differ.
    other: Router,
}

impl Routes {
    /// Opens the store and creates the routes. Callers who don't sign need one of the keys.
    ///
    /// # Errors
    /// When the table can't be used.
    pub async fn new(environment: &Environment, read_models: Database, keys: ApiKeys) -> Result<Self, Error> {
        // A function is frozen between two calls, so it leaves indexing to the indexer.
        let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
        let store = Arc::new(Store::open_with(&environment.config, &environment.table, options).await?);
        let counted = Arc::new(Counted(read_models));
        let without_docs = given("EES_NO_DOCS").as_deref() == Some("true");
        let api = || {
            let api = Api::new(store.clone(), store.clone()).with_statistics(counted.clone());
            // A browser can't sign its calls, and a function has no event streams.
            let api = api.without_console();
            if without_docs { api.without_docs() } else { api }
        };
        Ok(Self { signed: api().for_any_host().router(), other: api().with_keys(keys).router() })
    }

    /// Answers a request from API Gateway.
    ///
    /// # Errors
    /// None in practice: every failure becomes a response.
    pub async fn answer(&self, event: lambda_http::Request) -> Result<Response, Error> {
        let router = if is_signed(&event) { &self.signed } else { &self.other };
        let stage = stage_of(&event);
        let (mut parts, body) = event.into_parts();
        parts.uri = without_stage(&parts.uri, stage.as_deref());
        parts.extensions.insert(EscapedAnswer);
        follow_xray(&mut parts.headers);
        let body = match body {
            lambda_http::Body::Text(text) => Body::from(text),
            lambda_http::Body::Binary(bytes) => Body::from(bytes),
            _ => Body::empty(),
        };
        let service = router.clone().into_service();
        let answered = service.oneshot(Request::from_parts(parts, body)).await;
        Ok(answered?)
    }
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
fn is_signed(event: &lambda_http::Request) -> bool {
    match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.user_arn.is_some(),
        _ => false,
    }
}

fn stage_of(event: &lambda_http::Request) -> Option<String> {
    match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.clone(),
        _ => None,
    }
}

/// The path as it was sent, with its escapes, without the stage that API Gateway puts before it.
fn without_stage(uri: &Uri, stage: Option<&str>) -> Uri {
    let rest = stage.and_then(|stage| uri.path().strip_prefix('/')?.strip_prefix(stage));
    let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else { return uri.clone() };
    let path = if rest.is_empty() { "/" } else { rest };
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    path_and_query.map_or_else(|_| uri.clone(), Uri::from)
}

/// The statistics that the function `projector` keeps.
struct Counted(Database);

#[async_trait]
impl StatisticsSource for Counted {
    async fn statistics(&self) -> ees_store::Result<ees_store::Statistics> {
        let (totals, version) = Statistics::read_dynamodb(&self.0).await.map_err(|source| {
            ees_store::Error::Storage { detail: "the statistics can't be read".to_owned(), source }
        })?;
        Ok(ees_store::Statistics {
            total_streams: totals.total_streams,
            total_changesets: totals.total_changesets,
            total_events: totals.total_events,
            max_stream_length: totals.max_stream_length,
            statistics_version: version.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_escapes_and_loses_its_stage() {
        for (sent, path) in [
            ("/v1/streams/a%2Fb/events?from=1&to=%32", "/streams/a%2Fb/events?from=1&to=%32"),
            ("https://host/v1/streams//changesets", "/streams//changesets"),
            ("/v1", "/"),
            ("/v1x/streams", "/v1x/streams"),
        ] {
            assert_eq!(without_stage(&sent.parse().expect("a URI"), Some("v1")), path, "{sent}");
        }
        assert_eq!(without_stage(&"/streams".parse().expect("a URI"), None), "/streams");
    }
}
