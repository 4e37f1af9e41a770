//! The projections of a process over HTTP, without the store's API.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::middleware::map_request;
use ees_store::http::{Api, ApiKeys, Server};
use ees_store::{Commit, Committed, Error, EventStore, StreamPage, StreamQuery};
use tokio::net::{ToSocketAddrs, lookup_host};

use super::install;
use crate::{Handle, Running};

/// What is served, with all that is below; everything else is not found. A browser at the root is led to the
/// console.
const SERVED: [&str; 8] =
    ["/projections", "/audit", "/passed", "/metrics", "/history", "/health", "/access", "/console"];

/// Between two samples of the history.
const SAMPLES_APART: Duration = Duration::from_secs(10);

impl Running {
    /// Serves `/projections`, `/audit`, `/passed`, `/metrics`, `/history`, `/health` and the console on an address of this machine, for
    /// `ees projections --url ...` and for Prometheus. It does not serve the log. It ends with
    /// [`shut_down`](Self::shut_down).
    ///
    /// Returns the address, with the actual port if you asked for port 0.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ees_projector::Projector;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # let running = Projector::new(Arc::new(ees_store::memory::Store::new())).start();
    /// let address = running.serve("127.0.0.1:0").await?;
    /// println!("ees projections list --url http://{address}");
    /// # running.shut_down().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the address can't be listened on, or other machines can reach it: that needs
    /// [keys](Self::serve_with_keys).
    pub async fn serve(&self, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        let addresses: Vec<_> = lookup_host(address).await?.collect();
        if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            let why = format!(
                "without API keys, everyone who can reach {open} could operate the projections: listen on \
                 127.0.0.1, or give keys with `serve_with_keys`"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        self.serve_api(&addresses, |api| api).await
    }

    /// Serves the same to callers with one of these keys: reading needs the scope read, operating the scope
    /// admin.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn serve_with_keys(
        &self,
        address: impl ToSocketAddrs,
        keys: ApiKeys,
    ) -> io::Result<SocketAddr> {
        let addresses: Vec<_> = lookup_host(address).await?.collect();
        self.serve_api(&addresses, |api| api.with_keys(keys)).await
    }

    async fn serve_api(
        &self,
        addresses: &[SocketAddr],
        configure: impl FnOnce(Api) -> Api,
    ) -> io::Result<SocketAddr> {
        let server = Server::bind(addresses).await?;
        let address = server.local_addr()?;
        let router = router(self.handle(), |api| configure(api).with_history(SAMPLES_APART));
        self.run(|stopped| Box::pin(server.serve(router, stopped)));
        Ok(address)
    }
}

/// The routes for projections, without those of a store.
pub(crate) fn router(handle: &Handle, configure: impl FnOnce(Api) -> Api) -> Router {
    let api = configure(Api::new(Arc::new(NoStore), handle.log.clone()));
    let api = install(api, handle.clone()).router();
    // Around the router, not in it: the path decides before the routes are looked at.
    Router::new().fallback_service(api).layer(map_request(|request| ready(only_served(request))))
}

/// Leads every other path to where nothing is.
fn only_served(mut request: Request) -> Request {
    let path = request.uri().path();
    let is_served =
        |served: &str| path.strip_prefix(served).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path != "/" && !SERVED.into_iter().any(is_served) {
        *request.uri_mut() = Uri::from_static("/nothing");
    }
    request
}

/// The API needs a store; no route leads to this one.
struct NoStore;

impl NoStore {
    fn refusal() -> Error {
        Error::InvalidRequest("this process serves projections, not a store".to_owned())
    }
}

#[async_trait]
impl EventStore for NoStore {
    async fn commit(&self, _: Commit) -> ees_store::Result<Committed> {
        Err(Self::refusal())
    }

    async fn read_stream(&self, _: StreamQuery) -> ees_store::Result<StreamPage> {
        Err(Self::refusal())
    }
}
