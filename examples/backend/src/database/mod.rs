//! A read-model database: a map of keys to JSON in an append-only file, each line of which is a transaction.
//!
//! - This file has the transactions; `state` keeps the projections' rows, `parked` what is parked, `audit` what
//!   operators did, `effects` the ledgers of reactors, `timers` their timers, and `rows` the tables of folds.

mod audit;
mod effects;
mod parked;
mod rows;
mod state;
mod timers;

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use ees_projector::{BoxError, database};
use ees_store::Json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::lines::Lines;

/// What a value is kept under: the kind of thing, the projection, and what names it there.
type Key = Vec<String>;

fn key<const N: usize>(parts: [&str; N]) -> Key {
    parts.map(str::to_owned).to_vec()
}

/// A number as part of a key: texts in the order of the numbers.
fn padded(number: u64) -> String {
    format!("{number:020}")
}

/// A read-model database in a file. Clones share it.
///
/// One transaction at a time. Each is on disk once it is committed.
#[derive(Clone)]
pub struct Database(Arc<Mutex<State>>);

struct State {
    lines: Lines,
    kept: BTreeMap<Key, Json>,
}

/// What a transaction changed: a line of the file.
#[derive(Default, Serialize, Deserialize)]
struct Changes {
    put: Vec<(Key, Json)>,
    removed: Vec<Key>,
}

impl Database {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When the file can't be read or written, is damaged, or another process has it.
    pub fn open(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let (lines, found) = Lines::open(path.as_ref())?;
        let mut state = State { lines, kept: BTreeMap::new() };
        found.into_iter().for_each(|changes| state.apply(changes));
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// The rows of a table, as JSON text by key.
    pub async fn rows(&self, table: &str) -> BTreeMap<String, String> {
        let state = self.0.lock().await;
        let rows = under(&state.kept, &["row", table]);
        rows.map(|(key, row)| (key[2].clone(), row.as_str().to_owned())).collect()
    }
}

impl State {
    fn apply(&mut self, changes: Changes) {
        self.kept.extend(changes.put);
        for key in &changes.removed {
            self.kept.remove(key);
        }
    }
}

/// What is kept under keys that begin so.
fn under<'a, V>(
    map: &'a BTreeMap<Key, V>,
    begin: &[&str],
) -> impl Iterator<Item = (&'a Key, &'a V)> + use<'a, V> {
    let begin: Key = begin.iter().copied().map(str::to_owned).collect();
    map.range(begin.clone()..).take_while(move |(key, _)| key.starts_with(&begin))
}

/// A transaction: what it has changed so far lies over what is kept. Dropped, it leaves no trace.
pub struct Tx {
    state: OwnedMutexGuard<State>,
    changes: BTreeMap<Key, Option<Json>>,
}

impl Tx {
    fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, BoxError> {
        let json = self.changes.get(key).map_or_else(|| self.state.kept.get(key), Option::as_ref);
        Ok(json.map(Json::read).transpose()?)
    }

    fn put<T: Serialize>(&mut self, key: Key, value: &T) -> Result<(), BoxError> {
        self.changes.insert(key, Some(Json::of(value)?));
        Ok(())
    }

    fn remove(&mut self, key: Key) {
        self.changes.insert(key, None);
    }

    /// All that is kept under keys that begin so, in their order.
    fn list<T: DeserializeOwned>(&self, begin: &[&str]) -> Result<Vec<(Key, T)>, BoxError> {
        let mut found: BTreeMap<&Key, &Json> = under(&self.state.kept, begin).collect();
        for (key, change) in under(&self.changes, begin) {
            match change {
                Some(json) => found.insert(key, json),
                None => found.remove(key),
            };
        }
        found.into_iter().map(|(key, json)| Ok((key.clone(), json.read()?))).collect()
    }

    fn write(mut self) -> Result<(), BoxError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        for (key, change) in std::mem::take(&mut self.changes) {
            match change {
                Some(json) => changes.put.push((key, json)),
                None => changes.removed.push(key),
            }
        }
        // On disk first: what can be read is never lost.
        self.state.lines.append(&changes)?;
        self.state.apply(changes);
        Ok(())
    }
}

impl database::Database for Database {
    type Tx = Tx;

    async fn begin(&self) -> Result<Tx, BoxError> {
        Ok(Tx { state: self.0.clone().lock_owned().await, changes: BTreeMap::new() })
    }

    /// A commit waits for the disk, so the work runs on a thread where that holds up nobody else.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BoxError> {
        let runtime = tokio::runtime::Handle::current();
        Ok(tokio::task::spawn_blocking(move || runtime.block_on(work)).await?)
    }

    /// The disk is full, say: no changeset is to blame.
    fn is_transient(error: &(dyn Error + 'static)) -> bool {
        error.is::<std::io::Error>() || error.source().is_some_and(Self::is_transient)
    }
}
