//! A history of events, and the rows that projections make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use ees_store::{
    ChangesetLog, Commit, EventStore, Events, Expectation, InvalidJson, StreamId, memory as store,
};
use serde_json::Value;

use crate::composite::IntoComposite;
use crate::database::Database;
use crate::event_enum::Objection;
use crate::folded::Folded;
use crate::worker::core::Core;
use crate::worker::outcome::Stepped;
use crate::worker::processor::Processor;
use crate::worker::processor::projection::ProjectionAdapter;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;
use crate::{MultiFold, Projection, Settings, memory, sqlite};

/// Creates a history from (stream, event) pairs in the order of their commits. Each event is a changeset of
/// its own.
pub fn given<'a>(events: impl IntoIterator<Item = (&'a str, Value)>) -> Given {
    let mut history = Given { changesets: Vec::new(), may_be_foreign: false };
    for (stream, event) in events {
        history = history.and(stream, [event]);
    }
    history
}

/// A history of changesets to run projections on. Create it with [`given`].
#[derive(Clone, Debug)]
pub struct Given {
    changesets: Vec<(String, Result<Events, InvalidJson>)>,
    may_be_foreign: bool,
}

impl Given {
    /// Appends a changeset with several events.
    #[must_use]
    pub fn and(mut self, stream: &str, events: impl IntoIterator<Item = Value>) -> Self {
        let events: Vec<Value> = events.into_iter().collect();
        self.changesets.push((stream.to_owned(), Events::of(&events)));
        self
    }

    /// Appends a changeset that a store may hold, but would not take from a client: see [`Events::adopted`] and
    /// [`Events::quarantine`].
    #[must_use]
    pub fn and_stored(mut self, stream: &str, events: Events) -> Self {
        self.changesets.push((stream.to_owned(), Ok(events)));
        self
    }

    /// Allows that a projection recognizes none of the events. By default, that fails the test: a wrong
    /// `rename_all` or a filter with a typo would look like a history without consequences.
    #[must_use]
    pub fn allowing_foreign_events_only(self) -> Self {
        Self { may_be_foreign: true, ..self }
    }

    /// Runs a fold on the history, without a database.
    ///
    /// # Panics
    /// If an event can't be applied, or if the fold recognizes none.
    pub async fn fold<F: MultiFold>(&self, fold: F) -> FoldOutcome<F::State> {
        let table = fold.table().name;
        let database = memory::Database::new();
        Box::pin(self.run(self.log().await, Folded::new(fold), database.clone())).await;
        let rows = database.rows(&table).await;
        let read = |(key, text): (String, String)| match serde_json::from_str(&text) {
            Ok(state) => (key, state),
            Err(error) => {
                fail(&format!("row {key:?} does not read back as the fold's state: {error}: {text}"))
            }
        };
        FoldOutcome { rows: rows.into_iter().map(read).collect() }
    }

    /// Runs a composite on the history, without a database.
    ///
    /// # Panics
    /// If an event can't be applied, or if the composite recognizes none.
    pub async fn composite(&self, composite: impl IntoComposite) -> CompositeOutcome {
        let (composite, database) = (composite.into_composite(), memory::Database::new());
        let names: Vec<_> = composite.stages.iter().map(|stage| stage.table().name.to_string()).collect();
        let folded = match Folded::checked(composite) {
            Ok(folded) => folded,
            Err(invalid) => fail(&invalid.to_string()),
        };
        Box::pin(self.run(self.log().await, folded, database.clone())).await;
        let mut tables = BTreeMap::new();
        for name in names {
            let read = |(key, text): (String, String)| match serde_json::from_str(&text) {
                Ok(row) => (key, row),
                Err(error) => fail(&format!("row {key:?} is no JSON: {error}: {text}")),
            };
            let rows = database.rows(&name).await.into_iter().map(read).collect();
            tables.insert(name, rows);
        }
        CompositeOutcome { tables }
    }

    /// Runs a projection on the history, with a SQLite file in a temporary directory.
    ///
    /// # Panics
    /// If an event can't be applied, or if the projection recognizes none.
    pub async fn projection<P: Projection<sqlite::Tx>>(&self, projection: P) -> ProjectionOutcome {
        let (folder, database) = sqlite_database();
        Box::pin(self.run(self.log().await, projection, database.clone())).await;
        ProjectionOutcome { database, _folder: folder }
    }

    /// The streams of the history, each once.
    pub(super) fn streams(&self) -> BTreeSet<&str> {
        self.changesets.iter().map(|(stream, _)| stream.as_str()).collect()
    }

    pub(super) async fn log(&self) -> Arc<dyn ChangesetLog> {
        let store = store::Store::new();
        let mut last = BTreeMap::<&str, u64>::new();
        for (stream, events) in &self.changesets {
            let last = last.entry(stream).or_default();
            let commit = || -> Result<Commit, Box<dyn std::error::Error>> {
                let expectation = Expectation::LastChangeset((*last).into());
                Ok(Commit::new(StreamId::new(stream)?, expectation, events.clone()?))
            };
            match commit() {
                Ok(commit) => {
                    if let Err(error) = store.commit(commit).await {
                        fail(&format!("the event for stream {stream:?} can't be committed: {error}"));
                    }
                }
                Err(error) => fail(&format!("the event for stream {stream:?} can't be committed: {error}")),
            }
            *last += 1;
        }
        Arc::new(store)
    }
}

/// The rows that a fold made of a history.
#[derive(Debug)]
pub struct FoldOutcome<S> {
    /// The rows by the text of their key.
    pub rows: BTreeMap<String, S>,
}

impl<S: PartialEq + Debug> FoldOutcome<S> {
    /// Asserts that the fold made exactly these rows.
    ///
    /// # Panics
    /// If it did not. The message shows both side by side.
    #[track_caller]
    pub fn expect<K: Into<String>>(&self, rows: impl IntoIterator<Item = (K, S)>) {
        let expected: BTreeMap<String, S> = rows.into_iter().map(|(key, row)| (key.into(), row)).collect();
        assert_eq!(self.rows, expected, "the rows (left) differ from the expected ones (right)");
    }
}

/// The tables that a composite made of a history.
#[derive(Debug)]
pub struct CompositeOutcome {
    /// The rows of each table by the text of their key, as JSON.
    pub tables: BTreeMap<String, BTreeMap<String, Value>>,
}

impl CompositeOutcome {
    /// Asserts that a table has exactly these rows: the text of the key, and the state as JSON.
    ///
    /// # Panics
    /// If it has not. The message shows both side by side.
    #[track_caller]
    pub fn expect<K: Into<String>>(&self, table: &str, rows: impl IntoIterator<Item = (K, Value)>) {
        let expected: BTreeMap<String, Value> =
            rows.into_iter().map(|(key, row)| (key.into(), row)).collect();
        let Some(found) = self.tables.get(table) else {
            let known: Vec<&str> = self.tables.keys().map(String::as_str).collect();
            fail(&format!("no stage has a table {table:?}; there are {}", known.join(", ")))
        };
        assert_eq!(*found, expected, "the rows of {table} (left) differ from the expected ones (right)");
    }
}

/// The tables that a projection made of a history, in a SQLite file that is deleted when this is dropped.
pub struct ProjectionOutcome {
    database: sqlite::Database,
    _folder: tempfile::TempDir,
}

impl ProjectionOutcome {
    /// Asserts that a query returns these rows in this order, each as a JSON array.
    ///
    /// # Panics
    /// If it does not, with both side by side in the message, or if the query fails.
    pub async fn expect(&self, query: &str, rows: impl IntoIterator<Item = Value>) {
        let expected: Vec<Value> = rows.into_iter().collect();
        let sql = query.to_owned();
        let found = self.database.read(move |connection| super::snapshot::rows(connection, &sql)).await;
        match found {
            Ok(found) => assert_eq!(found, expected, "the rows (left) differ from the expected ones (right)"),
            Err(error) => fail(&format!("the query failed: {error}")),
        }
    }
}

pub(super) fn sqlite_database() -> (tempfile::TempDir, sqlite::Database) {
    let opened = || -> Result<_, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let database = sqlite::Database::open(folder.path().join("read-model.db"))?;
        Ok((folder, database))
    };
    opened().unwrap_or_else(|error| fail(&format!("the temporary SQLite file can't be opened: {error}")))
}

impl Given {
    /// Runs a projection on the log of this history, up to its end.
    pub(super) async fn run<P, D>(&self, log: Arc<dyn ChangesetLog>, projection: P, database: D)
    where
        D: Database,
        P: Projection<D::Tx>,
    {
        let processor: Arc<dyn Processor<D::Tx>> = Arc::new(ProjectionAdapter::new(projection));
        if let Some(Objection::Certain(reason)) = processor.objection() {
            fail(&format!("the events can't be told apart: {reason}"));
        }
        let core = Arc::new(Core::new(processor.clone(), database, log, Settings::default()));
        let mut runner = Runner::new(core, Arc::new(WorkerStatus::new()));
        run_to_the_end(&mut runner).await;
        let events = runner.status.snapshot().events;
        if !self.may_be_foreign && !self.changesets.is_empty() && !events.has_recognized() {
            let why = events.explain(processor.event_types());
            fail(&format!(
                "no event of the history was recognized: {why}. If that is right, say \
                 `given(..).allowing_foreign_events_only()`"
            ));
        }
    }
}

/// Applies everything that the log has.
pub(super) async fn run_to_the_end<D: Database>(runner: &mut Runner<D>) {
    loop {
        match runner.step().await {
            Ok(Stepped::Moved) => {}
            Ok(_) => break,
            Err(error) => fail(&format!("the projection failed: {error:?}")),
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a test kit speaks by failing the test")]
pub(super) fn fail(message: &str) -> ! {
    panic!("{message}")
}
