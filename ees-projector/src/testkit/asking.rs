//! Asks a fold what it can be asked: each row is explained, the fingerprint is that of the rows, and as of the present
//! the read model is the live one.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::given::{Given, fail, run_to_the_end, sqlite_database};
use crate::database::{Database, FoldRows};
use crate::folded::Folded;
use crate::read_model::Table;
use crate::worker::core::Core;
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;
use crate::{AsOf, Explain, Settings, sqlite};

/// The most rows of a table that are explained: each takes a replay of the history.
const EXPLAINED_MAX: usize = 50;
/// The file of the copy.
const COPY: &str = "as_of_the_present";

impl Given {
    pub(super) async fn check_asking<E>(&self, folded: Folded<E>)
    where
        E: DeserializeOwned + Send + Sync + 'static,
    {
        let (_folder, database) = sqlite_database();
        let tables: Vec<Table> = folded.tables().cloned().collect();
        let fold = Arc::new(ProjectionAdapter::new::<sqlite::Tx>(folded));
        let settings = Settings { fingerprint: true, ..Settings::default() };
        let core = Core::new(fold.clone(), database, self.log().await, settings);
        let core = Arc::new(core.with_explainable(fold.clone()).with_fingerprinted(fold));
        run_to_the_end(&mut Runner::new(core.clone(), Arc::new(WorkerStatus::new()))).await;
        for table in tables {
            explain_rows(&core, &table).await;
        }
        compare_with_present(&core).await;
    }
}

/// Explains rows of a table.
async fn explain_rows(core: &Arc<Core<sqlite::Database>>, table: &Table) {
    let (reader, read) = (core.clone(), table.clone());
    let rows = core.read(move |tx| {
        async move { Ok(tx.rows_after(reader.id(), &read, None, EXPLAINED_MAX).await?) }.boxed()
    });
    let rows = rows.await.unwrap_or_else(|error| fail(&format!("the rows can't be read: {error:?}")));
    for (key, _) in rows {
        let wanted = Explain { table: Some(table.name.to_string()), ..Explain::key(&key) };
        let explained = Box::pin(core.clone().explain(wanted, Arc::default())).await;
        let explained = explained.unwrap_or_else(|error| {
            fail(&format!("row {key:?} of {} can't be explained: {error}", table.name))
        });
        let last = explained.steps.last().and_then(|step| step.after.clone());
        if !explained.is_stored || last != explained.row {
            fail(&format!(
                "row {key:?} of {} is not the one that its events make: {explained:#?}",
                table.name
            ));
        }
    }
}

/// Builds the read model as of the present, and compares it with the live one.
async fn compare_with_present(core: &Arc<Core<sqlite::Database>>) {
    let compared = async {
        let checkpoint = core.head().await?.checkpoint;
        let wanted = AsOf { checkpoint, into: COPY.to_owned() };
        core.clone().build_as_of(wanted, Arc::new(WorkerStatus::new()), CancellationToken::new()).await?;
        let place = core.database.copy_of(core.id(), COPY, false).await;
        let (database, id) =
            place.unwrap_or_else(|error| fail(&format!("the copy can't be opened: {error}")));
        let copy = Arc::new(core.copy(database, id, HashMap::new()));
        Ok::<_, crate::OperateError>([
            core.clone().check_fingerprint().await?,
            copy.check_fingerprint().await?,
        ])
    };
    let [live, then] = Box::pin(compared)
        .await
        .unwrap_or_else(|error| fail(&format!("the read model can't be built as of the present: {error}")));
    for (which, check) in [("live read model", &live), ("read model as of the present", &then)] {
        if !check.is_equal() {
            fail(&format!("the fingerprint of the {which} is not that of its rows: {check:?}"));
        }
    }
    assert_eq!(
        (then.rows, then.kept),
        (live.rows, live.kept),
        "as of the present (left), the read model is not the live one (right)"
    );
}
