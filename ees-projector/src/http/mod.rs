//! Operating projections over HTTP.
//!
//! [`Running::serve`](crate::Running::serve) serves the projections of a process by themselves. Here is how to
//! add `/projections`, metrics and readiness to a store's API:
//!
//! ```
//! use ees_projector::{Projector, http};
//! use ees_store::http::Api;
//! # use std::sync::Arc;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! # let store = Arc::new(ees_store::memory::Store::new());
//! let running = Projector::new(store.clone()).start();
//! let router = http::install(Api::new(store.clone(), store), running.handle().clone()).router();
//! # let _ = router;
//! # }
//! ```

#[cfg(all(feature = "sns", feature = "sqs"))]
mod dead_letters;
mod health;
mod metrics;
mod operating;
mod problem;
pub(crate) mod serve;
mod values;
mod visibility;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ees_store::http::{Admission, Api, Problem, Scope};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[cfg(all(feature = "sns", feature = "sqs"))]
pub use dead_letters::install_dead_letters;

use crate::Handle;

/// How long an operation is waited for.
const OPERATION_MAX: Duration = Duration::from_secs(10 * 60);

/// Adds the projections to a store's API:
///
/// - the routes under `/projections`, `GET /audit` and `GET /passed`: reading and waiting need the scope read, operating needs
///   the scope admin;
/// - the projections' part of `/health/ready`, which reports stalled projections;
/// - `POST /streams/{stream_id}?visible_in=NAME`: a commit is answered once the projection has applied it;
/// - the projections' metrics.
///
/// The last two are those of a process that runs the projections: they are not there with the handle of an
/// [`OnDemand`](crate::OnDemand).
#[must_use]
pub fn install(mut api: Api, handle: Handle) -> Api {
    if !handle.is_attending {
        metrics::register(api.registry(), &handle);
        let visibility = Arc::new(visibility::Projections(handle.clone()));
        api = metrics::WITH_HISTORY
            .into_iter()
            .fold(api, |api, metric| api.with_history_of(metric, Some("projection")))
            .with_visibility(visibility);
    }
    api.with_health(Arc::new(health::Projections(handle.clone())))
        .with_routes(Scope::Read, watching_routes().with_state(handle.clone()))
        .with_routes(Scope::Admin, operating_routes().with_state(handle).route_layer(from_fn(operation)))
}

/// Gives an operation the time that a worker may need before it gets to it: after a long step, say. An operation
/// that was asked for is carried out, also when nobody waits for its answer.
async fn operation(admission: Admission, request: Request, next: Next) -> Result<Response, Problem> {
    admission.operates(OPERATION_MAX)?;
    Ok(next.run(request).await)
}

fn watching_routes() -> OpenApiRouter<Handle> {
    OpenApiRouter::new()
        .routes(routes!(watching::list))
        .routes(routes!(watching::status))
        .routes(routes!(watching::parked))
        .routes(routes!(watching::effects))
        .routes(routes!(watching::explain))
        .routes(routes!(watching::explain_progress))
        .routes(routes!(watching::as_of))
        .routes(routes!(watching::timers))
        .routes(routes!(watching::audit))
        .routes(routes!(watching::audit_of_all))
        .routes(routes!(watching::passed))
        .routes(routes!(watching::verification))
}

fn operating_routes() -> OpenApiRouter<Handle> {
    OpenApiRouter::new()
        .routes(routes!(operating::pause))
        .routes(routes!(operating::resume))
        .routes(routes!(operating::rebuild))
        .routes(routes!(operating::rebuild_streams))
        .routes(routes!(operating::skip))
        .routes(routes!(operating::checkpoint))
        .routes(routes!(operating::retry))
        .routes(routes!(operating::discard_effects))
        .routes(routes!(operating::cancel_timer))
        .routes(routes!(operating::swap))
        .routes(routes!(operating::rollback))
        .routes(routes!(operating::discard))
        .routes(routes!(operating::partitions))
        .routes(routes!(operating::verify))
        .routes(routes!(operating::build_as_of))
        .routes(routes!(operating::cancel_as_of))
        .routes(routes!(operating::drop_as_of))
        .routes(routes!(watching::estimate))
        .routes(routes!(watching::fingerprint))
}
