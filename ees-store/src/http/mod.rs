//! The store over HTTP: the wire contract as an axum router, and a server to run it.
//!
//! ```no_run
//! use std::sync::Arc;
//! use ees_store::{http, memory};
//!
//! # async fn run() -> std::io::Result<()> {
//! let store = Arc::new(memory::Store::new());
//! let router = http::Api::new(store.clone(), store).router();
//! http::Server::bind("127.0.0.1:8080").await?.serve(router, std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! `typed` is a second, smaller contract over the same store. Each endpoint has a file of its own; [`Problem`] is where errors become answers, and `guard` is what every request
//! passes.

mod answer;
mod body;
mod changesets;
mod closing;
mod commit;
mod description;
mod docs;
mod error;
mod guard;
mod health;
mod keys;
mod limits;
mod metrics;
mod paging;
mod path;
mod query;
mod schema;
mod server;
mod statistics;
mod streams;
mod typed;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use closing::Closing;
pub use error::Problem;
pub use health::HealthCheck;
pub use keys::{ApiKeys, InvalidKeys, Scope};
pub use limits::Limits;
pub use query::EscapedAnswer;
pub use server::{ConnectionLimits, Server};
pub use statistics::StatisticsSource;

pub use crate::Statistics;
use crate::{ChangesetLog, EventStore};
use guard::Guard;
use metrics::Metrics;

/// Builds the router of a store.
///
/// Without [keys](Self::with_keys) everybody who can connect may do everything: listen on a loopback address then.
pub struct Api {
    inner: Inner,
    keys: Option<ApiKeys>,
    extensions: Vec<(Scope, OpenApiRouter)>,
}

/// What handlers work on.
type App = Arc<Inner>;

struct Inner {
    store: Arc<dyn EventStore>,
    log: Arc<dyn ChangesetLog>,
    statistics: Arc<dyn StatisticsSource>,
    health: Vec<Arc<dyn HealthCheck>>,
    limits: Limits,
    registry: Registry,
    metrics: Metrics,
}

impl Api {
    /// The API of a store: its write and stream side, and its global side.
    pub fn new(store: Arc<dyn EventStore>, log: Arc<dyn ChangesetLog>) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let limits = Limits::for_changesets_of(store.limit_bytes());
        let inner = Inner {
            store,
            log,
            statistics: Arc::new(statistics::NotCounted),
            health: Vec::new(),
            limits,
            registry,
            metrics,
        };
        Self { inner, keys: None, extensions: Vec::new() }
    }

    /// With a read model for `GET /streams`, which otherwise answers zeros.
    #[must_use]
    pub fn with_statistics(mut self, statistics: Arc<dyn StatisticsSource>) -> Self {
        self.inner.statistics = statistics;
        self
    }

    /// Every call but those to `/health/` needs one of these keys.
    #[must_use]
    pub fn with_keys(mut self, keys: ApiKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.inner.limits = limits;
        self
    }

    /// With one more thing that `/health/ready` looks at.
    #[must_use]
    pub fn with_health(mut self, check: Arc<dyn HealthCheck>) -> Self {
        self.inner.health.push(check);
        self
    }

    /// With more routes, and their description: each needs a key with this scope, where keys are in use.
    ///
    /// Call it once for each scope. The routes pass all that the store's own pass: limits, request ids, metrics,
    /// `pp=true`. Answer errors with [`Problem`].
    ///
    /// # Panics
    /// [`router`](Self::router) panics when a path and method are there already.
    #[must_use]
    pub fn with_routes(mut self, scope: Scope, routes: OpenApiRouter) -> Self {
        self.extensions.push((scope, routes));
        self
    }

    /// Where metrics are registered that `GET /metrics` tells besides the store's own.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.inner.registry
    }

    /// The router. [`Server`] serves it; so does anything that serves an axum router, without bounds on connections.
    pub fn router(self) -> Router {
        let Self { inner, keys, extensions } = self;
        let guard = Arc::new(Guard::new(keys.clone(), &inner.limits, inner.metrics.clone()));
        let app = App::new(inner);
        let mut all = OpenApiRouter::with_openapi(description::description())
            .merge(public_routes().with_state(app.clone()));
        let needing = [(Scope::Read, read_routes()), (Scope::Commit, commit_routes())];
        let needing = needing.map(|(scope, routes)| (scope, routes.with_state(app.clone())));
        let demand = |scope: Scope, routes: OpenApiRouter| match keys {
            Some(_) => routes.route_layer(from_fn_with_state(scope, guard::demand)),
            None => routes,
        };
        for (scope, mut routes) in needing.into_iter().chain(extensions) {
            description::demand(routes.get_openapi_mut(), scope);
            all = all.merge(demand(scope, routes));
        }
        let (router, openapi) = all.split_for_parts();
        router
            .merge(demand(Scope::Read, docs::routes(openapi).into()))
            .fallback(async || Problem::no_such_endpoint())
            .method_not_allowed_fallback(async || Problem::method_not_allowed())
            .layer(from_fn_with_state(guard, guard::guard))
    }
}

fn public_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .merge(typed::public_routes())
}

fn read_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(statistics::statistics))
        .routes(routes!(streams::changesets))
        .routes(routes!(streams::events))
        .routes(routes!(changesets::changesets))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::version))
        .merge(typed::read_routes())
        // The stream whose id is empty: axum's parameters match one character at least.
        .route("/streams//changesets", get(async || Problem::missing_stream_id()))
        .route("/streams//events", get(async || Problem::missing_stream_id()))
        .route("/streams/", get(async || Problem::missing_stream_id()))
}

fn commit_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(commit::commit))
        .merge(typed::commit_routes())
        .route("/streams/", axum::routing::post(async || Problem::missing_stream_id()))
}
