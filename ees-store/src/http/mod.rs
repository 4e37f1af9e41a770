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
//! Every request passes `guard`, then an endpoint (a file each in `endpoints`); `error_response` writes the
//! body and status of every error ([`Problem`]). `typed` is a second, smaller contract over the same store,
//! with its own `error_response`.

mod access_log;
mod admission;
mod answer;
mod app;
mod banner;
pub(crate) mod body;
pub(crate) mod bulk_body;
mod closing;
mod commit_health;
mod compression;
mod connections;
mod cors;
mod description;
mod encoded_histogram;
mod endpoints;
mod error_response;
mod event_stream;
mod guard;
mod health_check;
mod history;
pub(crate) mod hosts;
mod json_body;
mod keys;
mod limits;
mod metrics;
mod names;
mod pace;
mod paging;
pub(crate) mod path;
mod quarantine_watch;
pub(crate) mod query;
#[cfg(feature = "client")]
mod remote_console;
mod request_id;
mod schema;
mod scraper;
mod server;
mod settings;
mod statistics_source;
mod store_metrics;
mod stream_list_source;
mod strict;
mod trace_headers;
pub(crate) mod typed;
mod visibility;
mod weights;
mod written;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::from_fn_with_state;
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;

pub use admission::Admission;
pub use banner::{Banner, InvalidBanner};
pub use closing::Closing;
pub use cors::{CorsOrigins, InvalidOrigin};
pub use encoded_histogram::EncodedHistogram;
pub use error_response::Problem;
pub use health_check::HealthCheck;
pub use json_body::JsonBody;
pub use keys::{ApiKeys, InvalidKeys, Scope};
pub use limits::Limits;
pub use quarantine_watch::QuarantineWatch;
pub use query::EscapedAnswer;
#[cfg(feature = "client")]
pub use remote_console::RemoteConsole;
pub use scraper::Scraper;
pub use server::{ConnectionLimits, Server};
pub use settings::{Setting, SettingSource};
pub use statistics_source::StatisticsSource;
pub use stream_list_source::StreamListSource;
pub use visibility::Visibility;

pub use crate::Statistics;
use crate::{EventStore, SharedLog};
use app::{App, Inner};
use guard::{Callers, Guard};
use history::{History, Watched};
use hosts::Hosts;
use metrics::Metrics;
use settings::Started;
use strict::KnownParameters;

/// Builds the router of a store's API.
///
/// Without [keys](Self::with_keys), anyone who can connect may call everything: then listen on a loopback
/// address only.
pub struct Api {
    inner: Inner,
    callers: Callers,
    extensions: Vec<(Scope, OpenApiRouter)>,
    banner: Option<Banner>,
    history: Option<Duration>,
    watched: Vec<Watched>,
    settings: Option<Vec<Setting>>,
    scraper: Scraper,
}

impl Api {
    /// The API of a store. Most stores implement both traits: pass the same one twice. Where others read the log
    /// too, such as projections, pass a [`SharedLog`].
    pub fn new(store: Arc<dyn EventStore>, log: impl Into<SharedLog>) -> Self {
        let log = log.into();
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        store_metrics::register(&mut registry, &store);
        let limits = Limits::for_changesets_of(store.limit_bytes());
        let commits = Arc::default();
        let inner = Inner {
            store,
            log,
            statistics: None,
            stream_list: None,
            visibility: None,
            health: Vec::new(),
            limits,
            registry,
            metrics,
            commits,
            probe: Default::default(),
        };
        let callers = Callers { keys: None, hosts: Hosts::default(), cors: None, docs: true, console: true };
        Self {
            inner,
            callers,
            extensions: Vec::new(),
            banner: None,
            history: None,
            watched: history::OF_THE_API.to_vec(),
            settings: None,
            scraper: Scraper::default(),
        }
    }

    /// Sets the read model for `GET /streams`. Default: none; the endpoint answers 404.
    #[must_use]
    pub fn with_statistics(mut self, statistics: Arc<dyn StatisticsSource>) -> Self {
        self.inner.statistics = Some(statistics);
        self
    }

    /// Sets the read model for `GET /stream-list`. Default: none; the endpoint answers 404.
    #[must_use]
    pub fn with_stream_list(mut self, streams: Arc<dyn StreamListSource>) -> Self {
        self.inner.stream_list = Some(streams);
        self
    }

    /// Says whether read models show a commit, for `POST /streams/{stream_id}?visible_in=NAME`. Default: none; such
    /// a commit is refused.
    #[must_use]
    pub fn with_visibility(mut self, visibility: Arc<dyn Visibility>) -> Self {
        self.inner.visibility = Some(visibility);
        self
    }

    /// Requires one of these keys for every call, except health checks and the description of the API. Default:
    /// no keys.
    #[must_use]
    pub fn with_keys(mut self, keys: ApiKeys) -> Self {
        self.callers.keys = Some(keys);
        self
    }

    /// Sets the names under which a server without keys answers, besides the loopback names. Default: none.
    ///
    /// The `Host` of a request names it, so that a page of another site can't reach this server by giving its
    /// own name the address 127.0.0.1. With keys, every name is accepted.
    #[must_use]
    pub fn with_hosts<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.callers.hosts = Hosts::Named(names.into_iter().map(Into::into).collect());
        self
    }

    /// Answers under every name, also without keys: for a server that authenticates its callers in another way.
    #[must_use]
    pub fn for_any_host(mut self) -> Self {
        self.callers.hosts = Hosts::Any;
        self
    }

    /// Lets pages of these origins call the API from a browser (CORS): what a browser asks before a call (`OPTIONS`)
    /// is answered without a key, and every answer says who may read it. Default: none; `OPTIONS` is a 405.
    ///
    /// Without keys, such a page may write too. So give `*` only to an API that knows its callers, by keys or in
    /// another way: every page that somebody on this machine opens could read and write otherwise.
    #[must_use]
    pub fn with_cors(mut self, origins: CorsOrigins) -> Self {
        self.callers.cors = Some(origins);
        self
    }

    /// Leaves out `/docs` and `/openapi.json`. Default: they are there, and need no key.
    #[must_use]
    pub fn without_docs(mut self) -> Self {
        self.callers.docs = false;
        self
    }

    /// Leaves out the page at `/console/`. Default: it is there, and a browser at `/` is led to it. The page needs
    /// no key; what it shows needs one where every call does.
    #[must_use]
    pub fn without_console(mut self) -> Self {
        self.callers.console = false;
        self
    }

    /// Sets the banner of the console. Default: none.
    #[must_use]
    pub fn with_banner(mut self, banner: Banner) -> Self {
        self.banner = Some(banner);
        self
    }

    /// Keeps the last hour of some metrics in memory, a sample at each interval, for `GET /history` and the plots of
    /// the console; of an interval under 5 s, the last 720 samples. Default: none; there is no such endpoint.
    ///
    /// [`router`](Self::router) then needs a tokio runtime.
    #[must_use]
    pub fn with_history(mut self, interval: Duration) -> Self {
        self.history = Some(interval);
        self
    }

    /// Names a metric for the history besides those of the API: a gauge or a counter of the
    /// [registry](Self::registry), by its name in `GET /metrics`, with a series for each value of this label.
    #[must_use]
    pub fn with_history_of(mut self, metric: &'static str, label: Option<&'static str>) -> Self {
        self.watched.push(Watched { metric, label });
        self
    }

    /// Tells these settings, and the scopes of the keys, to callers with the scope admin: `GET /settings`. Default:
    /// there is no such endpoint.
    #[must_use]
    pub fn with_settings(mut self, settings: Vec<Setting>) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Sets the limits. Default: [`Limits::for_changesets_of`] the store's limit.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.inner.limits = limits;
        self
    }

    /// Adds a check to `/health/ready`.
    #[must_use]
    pub fn with_health(mut self, check: Arc<dyn HealthCheck>) -> Self {
        self.inner.health.push(check);
        self
    }

    /// Reports the quarantined changesets that readers of this log have found: in `/health/ready`, and as the
    /// metric `ees_quarantined_changesets`.
    #[must_use]
    pub fn with_quarantine(mut self, watch: Arc<QuarantineWatch>) -> Self {
        let help = "Quarantined changesets that were read since the process started";
        self.inner.registry.register("ees_quarantined_changesets", help, watch.count());
        self.with_health(watch)
    }

    /// Adds routes and their description. If there are keys, each route needs one with this scope.
    ///
    /// Call it once for each scope. What applies to the store's own routes applies to these too: limits,
    /// request ids, metrics, `pp=true`. Return errors as [`Problem`], and read bodies with [`JsonBody`]. A query
    /// parameter that the description of a route does not name is refused.
    ///
    /// # Panics
    /// [`router`](Self::router) panics if a path and method exist already.
    #[must_use]
    pub fn with_routes(mut self, scope: Scope, routes: OpenApiRouter) -> Self {
        self.extensions.push((scope, routes));
        self
    }

    /// The registry of `GET /metrics`, for adding your own metrics.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.inner.registry
    }

    /// Reads the metrics of `GET /metrics` in the process itself, for exporting them in another way.
    pub fn scraper(&self) -> Scraper {
        self.scraper.clone()
    }

    /// Builds the router. [`Server`] serves it, with limits on connections; anything else that serves an axum
    /// router can serve it too.
    pub fn router(self) -> Router {
        let Self { inner, callers, extensions, banner, history, watched, settings, scraper } = self;
        let (limits, metrics, commits) = (inner.limits, inner.metrics.clone(), inner.commits.clone());
        let app = App::new(inner);
        scraper.reads(app.clone());
        let mut all = OpenApiRouter::with_openapi(description::description())
            .merge(endpoints::public_routes().merge(typed::public_routes()).with_state(app.clone()));
        let needing = [
            (Scope::Read, endpoints::read_routes().merge(typed::read_routes())),
            (Scope::Commit, endpoints::commit_routes().merge(typed::commit_routes())),
        ];
        let history = history.map(|interval| Arc::new(History::new(interval, watched)));
        let started = settings.map(|settings| Arc::new(Started { settings, keys: callers.keys.clone() }));
        let needing = needing.map(|(scope, routes)| {
            let mut routes = routes.with_state(app.clone());
            description::describe_parameters(routes.get_openapi_mut());
            (scope, routes)
        });
        let demand = |scope: Scope, routes: OpenApiRouter| match &callers.keys {
            Some(_) => routes.route_layer(from_fn_with_state(scope, guard::demand)),
            None => routes,
        };
        let mut any_key = endpoints::any_key_routes();
        description::demand(any_key.get_openapi_mut(), None, callers.keys.is_some());
        all = all.merge(any_key);
        let mut needing = Vec::from(needing);
        if let Some(history) = history {
            tokio::spawn(History::keep(history.clone(), Arc::downgrade(&app)));
            needing.push((Scope::Read, endpoints::history_routes().with_state(history)));
        }
        if let Some(started) = started {
            needing.push((Scope::Admin, endpoints::settings_routes().with_state(started)));
        }
        for (scope, mut routes) in needing.into_iter().chain(extensions) {
            description::demand(routes.get_openapi_mut(), Some(scope), callers.keys.is_some());
            all = all.merge(demand(scope, routes));
        }
        let (router, openapi) = all.split_for_parts();
        let known = KnownParameters::of(&openapi);
        let docs = if callers.docs { endpoints::docs::routes(openapi) } else { Router::new() };
        let console =
            if callers.console { endpoints::console::routes(banner, Vec::new()) } else { Router::new() };
        let has_console = callers.console;
        let nowhere = async move |method: Method, uri: Uri, headers: HeaderMap| {
            endpoints::nowhere(&method, &uri, &headers, has_console)
        };
        let cors = callers.cors.as_ref().map(CorsOrigins::layer);
        let guard = Arc::new(Guard::new(callers, &limits, known, metrics, commits));
        let router = router
            .merge(docs)
            .merge(console)
            .fallback(nowhere)
            .method_not_allowed_fallback(async || Problem::method_not_allowed())
            .layer(from_fn_with_state(guard, guard::guard));
        match cors {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }
}
