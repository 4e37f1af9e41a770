//! A log in PostgreSQL, and the same table without a store beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ees_projector::postgres::Database;
use ees_projector::{Projector, Settings};
use ees_store::postgres::Store;
use ees_store::{Checkpoint, StreamId};
use sqlx::PgConnection;
use tempfile::TempDir;

use crate::growth::LONG;
use crate::measure::Subject;
use crate::plain::{empty, fold, insert};
use crate::server::{Databases, settle, with_tables};
use crate::shared::read::{Balances, catch_up};
use crate::shared::workload::{Append, EVENTS_AN_APPEND};

/// Events that plain statements fold before they write.
const FOLDED: u64 = 5_000;

pub(crate) struct Log<'d> {
    databases: &'d Databases,
    url: String,
    plain: PgConnection,
    plain_url: String,
    data: TempDir,
}

impl<'d> Log<'d> {
    pub(crate) async fn new(databases: &'d Databases) -> Self {
        let (plain_url, plain) = with_tables(databases).await;
        let url = databases.fresh().await;
        Self { databases, url, plain, plain_url, data: tempfile::tempdir().unwrap() }
    }
}

impl Subject for Log<'_> {
    type Store = Store;

    async fn open(&self) -> Arc<Store> {
        Arc::new(Store::connect(&self.url).await.unwrap())
    }

    async fn insert(&mut self, appends: Vec<Append>) {
        insert(&mut self.plain, appends.into_iter(), 64).await;
    }

    async fn select(&mut self, streams: &[StreamId]) {
        let select = "SELECT events FROM ees_store.changesets WHERE stream_id = $1 ORDER BY changeset_id";
        for stream in streams {
            let rows = sqlx::query_scalar::<_, String>(select).bind(stream.as_str());
            assert_eq!(rows.fetch_all(&mut self.plain).await.unwrap().len() as u64, LONG);
        }
    }

    async fn settle(&mut self) {
        settle(&self.url).await;
        settle(&self.plain_url).await;
    }

    async fn fold(&self, store: Arc<Store>, head: Checkpoint) -> Duration {
        let database = Database::connect(&self.databases.fresh().await).await.unwrap();
        let mut projector = Projector::new(store);
        projector.fold(Balances { columns: true }, database, Settings::default()).unwrap();
        catch_up(projector, "balances", head).await
    }

    async fn fold_plainly(&mut self) {
        empty(&mut self.plain).await;
        fold(&mut self.plain, FOLDED / EVENTS_AN_APPEND).await;
    }

    fn served(&self) -> (&Path, Vec<String>) {
        (self.data.path(), vec!["--store".to_owned(), self.url.clone()])
    }
}
