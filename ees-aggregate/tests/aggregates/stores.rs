//! The stores, and the places for snapshots; each test has its own.

use std::any::Any;
use std::sync::Arc;

use ees_aggregate::snapshots::{self, Snapshots};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_test_postgres::TestDatabase;
use tokio::sync::oneshot;

use crate::rigged::Rigged;

pub(crate) async fn memory() -> Arc<Rigged> {
    Rigged::new(Arc::new(ees_store::memory::Store::new()), ())
}

pub(crate) async fn sqlite() -> Arc<Rigged> {
    let folder = tempfile::tempdir().unwrap();
    let store = ees_store::sqlite::Store::open(folder.path().join("log.db")).unwrap();
    Rigged::new(Arc::new(store), folder)
}

pub(crate) async fn postgres() -> Arc<Rigged> {
    let database = TestDatabase::new().await;
    let store = ees_store::postgres::Store::connect(database.url()).await.unwrap();
    Rigged::new(Arc::new(store), database)
}

/// A store in memory, behind a server.
pub(crate) async fn client() -> Arc<Rigged> {
    let store = Arc::new(ees_store::memory::Store::new());
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    // Dropped with the test, which ends the server.
    let (shutdown, asked) = oneshot::channel::<()>();
    tokio::spawn(server.serve(Api::new(store.clone(), store).router(), async {
        let _ = asked.await;
    }));
    Rigged::new(Arc::new(Client::new(&url).unwrap()), shutdown)
}

/// Where snapshots are kept, and what goes with it.
pub(crate) struct Place {
    pub(crate) snapshots: Arc<dyn Snapshots>,
    _kept: Box<dyn Any + Send + Sync>,
}

pub(crate) async fn kept_in_memory() -> Place {
    Place { snapshots: Arc::new(snapshots::memory::Snapshots::new()), _kept: Box::new(()) }
}

pub(crate) async fn kept_in_sqlite() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let place = snapshots::sqlite::Snapshots::open(folder.path().join("snapshots.db")).unwrap();
    Place { snapshots: Arc::new(place), _kept: Box::new(folder) }
}

pub(crate) async fn kept_in_postgres() -> Place {
    let database = TestDatabase::new().await;
    // Two at once: one of them makes the table.
    let (one, two) = tokio::join!(
        snapshots::postgres::Snapshots::connect(database.url()),
        snapshots::postgres::Snapshots::connect(database.url())
    );
    drop(one.unwrap());
    Place { snapshots: Arc::new(two.unwrap()), _kept: Box::new(database) }
}
