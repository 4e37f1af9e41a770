//! Servers on free ports, for as long as the test runs.

use std::net::SocketAddr;
use std::sync::Arc;

use ees_store::http::{Api, Server};
use ees_store::{ChangesetLog, EventStore, memory};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A store behind a server.
pub(crate) struct Served<T> {
    pub(crate) store: Arc<T>,
    pub(crate) address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Served<memory::Store> {
    /// A new store, with everything as it is by default.
    pub(crate) async fn new() -> Self {
        Self::with(memory::Store::new(), |api| api).await
    }
}

impl<T: EventStore + ChangesetLog> Served<T> {
    pub(crate) async fn with(store: T, configure: impl FnOnce(Api) -> Api) -> Self {
        let store = Arc::new(store);
        let api = configure(Api::new(store.clone(), store.clone()));
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let (shutdown, asked) = oneshot::channel();
        // Dropping the other half asks too: the server stops with its test.
        let running = tokio::spawn(server.serve(api.router(), async {
            let _ = asked.await;
        }));
        Self { store, address, shutdown, running }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the server finish what it is about, and the store close.
    pub(crate) async fn stop(self) {
        let Self { store, shutdown, running, .. } = self;
        drop(shutdown);
        running.await.unwrap();
        assert_eq!(Arc::strong_count(&store), 1, "the server has let go of the store");
    }
}
