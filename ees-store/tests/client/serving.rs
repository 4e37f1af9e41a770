//! Servers on free ports, for as long as the test runs.

use std::net::SocketAddr;
use std::sync::Arc;

use ees_store::http::{Api, Server};
use ees_store::memory;

/// A server of a store of its own, which stops when this is dropped.
pub(crate) struct Served {
    pub(crate) store: Arc<memory::Store>,
    pub(crate) address: SocketAddr,
    running: tokio::task::JoinHandle<()>,
}

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(|api| api).await
    }

    pub(crate) async fn with(configure: impl FnOnce(Api) -> Api) -> Self {
        let store = Arc::new(memory::Store::new());
        let api = configure(Api::new(store.clone(), store.clone()));
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let running = tokio::spawn(server.serve(api.router(), std::future::pending()));
        Self { store, address, running }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.running.abort();
    }
}
