//! The HTTP API behind API Gateway.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::response::Response;
use ees_projections::Statistics;
use ees_projector::dynamodb::Database;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_store::http::{Api, ApiKeys, EscapedAnswer, StatisticsSource};
use lambda_http::RequestExt;
use lambda_http::request::RequestContext;
use lambda_runtime::Error;
use tower::{Service, ServiceExt};

use crate::Environment;
use crate::environment::given;

/// Serves until the runtime ends the process.
///
/// # Errors
/// The table can't be used, the keys are none, or there is no Lambda runtime around it.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let keys = given("EES_API_KEYS").map(|keys| keys.parse()).transpose()?;
    let router = router(environment, environment.read_models()?, keys).await?;
    lambda_http::run(tower::service_fn(move |event| answer(router.clone(), event))).await
}

/// The routes of the stack's API.
///
/// # Errors
/// The table can't be used.
pub async fn router(
    environment: &Environment,
    read_models: Database,
    keys: Option<ApiKeys>,
) -> Result<Router, Error> {
    // A function is frozen between two calls: what it would do then is left to the indexer.
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let store = Arc::new(Store::open_with(&environment.config, &environment.table, options).await?);
    let api = Api::new(store.clone(), store).with_statistics(Arc::new(Counted(read_models)));
    Ok(match keys {
        Some(keys) => api.with_keys(keys).router(),
        None => api.router(),
    })
}

/// Answers what API Gateway hands over.
///
/// # Errors
/// None: whatever happens is an answer.
pub async fn answer(router: Router, event: lambda_http::Request) -> Result<Response, Error> {
    let stage = stage_of(&event);
    let (mut parts, body) = event.into_parts();
    parts.uri = without_stage(&parts.uri, stage.as_deref());
    parts.extensions.insert(EscapedAnswer);
    let body = match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    };
    let answered = router.into_service().ready().await?.call(Request::from_parts(parts, body)).await;
    Ok(answered?)
}

fn stage_of(event: &lambda_http::Request) -> Option<String> {
    match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.clone(),
        _ => None,
    }
}

/// The path as it was sent, escapes and all; the stage, which was put before it, is none of ours.
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

/// What the projector has counted.
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
