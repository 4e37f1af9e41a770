//! Compares the live read model with another one, which stands still, while the live one moves on.
//!
//! A *scan* reads both and compares row by row. A row that is equal is right as of the checkpoint of the other read
//! model. One that differs may have been changed since, so it is a *suspect*. Suspects are read once more, together
//! with the live read model's checkpoint. When the other one has come to the same checkpoint, what still differs is
//! a difference.

use std::cmp::Ordering;
use std::collections::VecDeque;

use aws_sdk_dynamodb::types::AttributeValue;
use backon::Retryable;
use ees_store::Checkpoint;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::error::Error;
use super::item::{self, Item, KEY, PARTITION, to_number, to_text};
use super::row_key::{STATE, home};
use super::rows::{self, GENERATIONS};
use super::state;
use super::{Database, Tx, unprocessed};
use crate::database::{Compared, Database as _, Fenced, MovingComparison};
use crate::error::BoxError;
use crate::read_model_id::ReadModelId;
use crate::standby::{Comparison, shortened};

/// How many suspects are kept. With more, they are looked at before the scan goes on.
const SUSPECTS_MAX: usize = 1_000;
/// How many suspects are read at once: DynamoDB's limit, less the items with the checkpoint and the partition.
const TOGETHER_MAX: usize = 98;
/// How many bytes of rows are read at once. DynamoDB's limit is 4 MB, and rows may have grown.
const TOGETHER_BYTES_MAX: usize = 1_500_000;

/// A comparison in progress.
pub(super) struct Comparing {
    database: Database,
    live: ReadModelId,
    other: ReadModelId,
    /// The epoch of the other read model. With another one, it is not the same.
    epoch: Option<u64>,
    /// The tables of both. `None`: not known yet.
    tables: Option<Vec<Twins>>,
    /// How many of them are scanned.
    scanned: usize,
    scan: Option<Scan>,
    suspects: VecDeque<Suspect>,
    seen: Option<Seen>,
    found: Comparison,
}

/// A table of both read models, and where the rows are in each. `None`: only the live one has it.
#[derive(Clone)]
struct Twins {
    table: String,
    live: String,
    other: Option<String>,
}

/// A row that differed when it was scanned.
struct Suspect {
    twins: Twins,
    key: String,
    bytes: usize,
}

/// Suspects of one table as the live read model had them at a checkpoint.
struct Seen {
    at: Checkpoint,
    suspects: Vec<Suspect>,
    rows: Vec<Option<Item>>,
}

impl Comparing {
    pub(super) fn new(database: Database, live: ReadModelId, other: ReadModelId) -> Self {
        Self {
            database,
            live,
            other,
            epoch: None,
            tables: None,
            scanned: 0,
            scan: None,
            suspects: VecDeque::new(),
            seen: None,
            found: Comparison::default(),
        }
    }

    async fn go_on(&mut self) -> Result<Compared, BoxError> {
        loop {
            if let Some(seen) = self.seen.take() {
                let (at, stand) = (seen.at, self.stand().await?);
                if stand != at {
                    // Past it, what was seen is of no use.
                    match stand > at {
                        true => self.suspects.extend(seen.suspects),
                        false => self.seen = Some(seen),
                    }
                    return Ok(Compared::Meet(at));
                }
                self.judge(seen).await?;
                if self.found.differences.len() >= Comparison::DIFFERENCES_MAX {
                    self.found.differences.truncate(Comparison::DIFFERENCES_MAX);
                    return self.done().await;
                }
                continue;
            }
            if self.tables.is_none() {
                // From here on another read model in its place is noticed.
                self.stand().await?;
                self.tables = Some(self.twins().await?);
            }
            let next = self.tables.iter().flatten().nth(self.scanned).cloned();
            let is_scanned = next.is_none();
            if self.suspects.len() >= SUSPECTS_MAX || (is_scanned && !self.suspects.is_empty()) {
                if !self.look_at_suspects().await? {
                    return Ok(Compared::Replaced);
                }
                continue;
            }
            let Some(twins) = next else { return self.done().await };
            let scan = self.scan.get_or_insert_with(|| Scan::of(twins));
            if scan.go_on(&self.database, &mut self.suspects, &mut self.found).await? {
                self.scan = None;
                self.scanned += 1;
            }
        }
    }

    /// The checkpoint of the other read model.
    async fn stand(&mut self) -> Result<Checkpoint, BoxError> {
        let home = home(self.other.key());
        let read = || self.database.get(&home, STATE);
        let row = read.retry(unprocessed::pauses()).when(Error::passes).await?.ok_or(Fenced)?;
        let epoch = to_number(&row, item::EPOCH)?;
        if *self.epoch.get_or_insert(epoch) != epoch {
            return Err(Fenced.into());
        }
        Ok(state::checkpoint(&row)?)
    }

    async fn twins(&self) -> Result<Vec<Twins>, BoxError> {
        let others = self.database.tables(&self.other).await?;
        let of_live = self.database.tables(&self.live).await?;
        let mut twins = Vec::new();
        for (table, other) in &others {
            let live = self.database.partition(table).await?;
            twins.push(Twins { table: table.clone(), live, other: Some(other.clone()) });
        }
        for (table, live) in of_live {
            if !others.iter().any(|(it, _)| *it == table) {
                twins.push(Twins { table, live, other: None });
            }
        }
        Ok(twins)
    }

    /// Reads the next suspects, all of one table, as of one checkpoint of the live read model. Returns `false` if
    /// that is in another partition by now.
    async fn look_at_suspects(&mut self) -> Result<bool, BoxError> {
        let mut suspects: Vec<Suspect> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.suspects.front() {
            let fits = suspects.first().is_none_or(|first| {
                first.twins.table == next.twins.table
                    && suspects.len() < TOGETHER_MAX
                    && bytes + next.bytes <= TOGETHER_BYTES_MAX
            });
            if !fits {
                break;
            }
            bytes += next.bytes;
            suspects.extend(self.suspects.pop_front());
        }
        let Some(Suspect { twins, .. }) = suspects.first() else { return Ok(true) };
        let home = home(self.live.key());
        let mut keys = vec![(&*home, STATE), (GENERATIONS, &*twins.table)];
        keys.extend(suspects.iter().map(|suspect| (&*twins.live, &*suspect.key)));
        let read = || self.database.get_all_together(&keys);
        let mut found = read.retry(unprocessed::pauses()).when(Error::passes).await?.into_iter();
        let (row, place) = (found.next().flatten(), found.next().flatten());
        let Some(row) = row else { return Ok(false) };
        if rows::partition(&twins.table, place.as_ref())? != twins.live {
            return Ok(false);
        }
        self.seen = Some(Seen { at: state::checkpoint(&row)?, rows: found.collect(), suspects });
        Ok(true)
    }

    /// Compares what was seen with the rows of the other read model, which is at the same checkpoint.
    async fn judge(&mut self, seen: Seen) -> Result<(), BoxError> {
        let Some(Suspect { twins, .. }) = seen.suspects.first() else { return Ok(()) };
        let keys: Vec<_> = seen.suspects.iter().map(|suspect| &*suspect.key).collect();
        let expected = match &twins.other {
            Some(partition) => {
                let tx = Tx::new(self.database.clone(), None);
                let read = || tx.get_all(partition, &keys);
                read.retry(unprocessed::pauses()).when(|error| Database::is_transient(&**error)).await?
            }
            None => vec![None; keys.len()],
        };
        if self.stand().await? != seen.at {
            // Another worker has moved it, so these rows are of different checkpoints.
            self.suspects.extend(seen.suspects);
            return Ok(());
        }
        for ((suspect, live), built) in seen.suspects.iter().zip(&seen.rows).zip(&expected) {
            let (table, key) = (&suspect.twins.table, &suspect.key);
            let difference = match (live, built) {
                (Some(live), Some(built)) if !is_equal(live, built) => {
                    format!("table {table}: changed row {key}: {}, expected {}", words(live), words(built))
                }
                (Some(live), None) => format!("table {table}: extra row {key}: {}", words(live)),
                (None, Some(built)) => format!("table {table}: missing row {key}: {}", words(built)),
                _ => continue,
            };
            self.found.differences.push(difference);
        }
        Ok(())
    }

    async fn done(&mut self) -> Result<Compared, BoxError> {
        // What was scanned must still be the read model that is live.
        for twins in self.tables.iter().flatten() {
            if self.database.partition(&twins.table).await? != twins.live {
                return Ok(Compared::Replaced);
            }
        }
        let checkpoint = self.stand().await?.get();
        Ok(Compared::Done(Comparison { checkpoint, ..std::mem::take(&mut self.found) }))
    }
}

impl MovingComparison for Comparing {
    fn go_on(&mut self) -> BoxFuture<'_, Result<Compared, BoxError>> {
        Self::go_on(self).boxed()
    }
}

/// The scan of one table: both are read in the order of their keys.
struct Scan {
    twins: Twins,
    live: Rows,
    other: Rows,
}

/// The rows of one partition, a page at a time.
#[derive(Default)]
struct Rows {
    page: VecDeque<Item>,
    from: Option<Item>,
    is_over: bool,
}

impl Rows {
    /// Reads the next page if this one is used up.
    async fn fill(&mut self, database: &Database, partition: Option<&str>) -> Result<(), Error> {
        while self.page.is_empty() && !self.is_over {
            let Some(partition) = partition else {
                self.is_over = true;
                return Ok(());
            };
            let read = || database.page(partition, ("", None), None, true, self.from.clone());
            let (page, next) = read.retry(unprocessed::pauses()).when(Error::passes).await?;
            self.is_over = next.is_none();
            (self.page, self.from) = (page.into(), next);
        }
        Ok(())
    }

    fn key(&self) -> Result<Option<&str>, Error> {
        self.page.front().map(|item| to_text(item, KEY)).transpose()
    }
}

impl Scan {
    fn of(twins: Twins) -> Self {
        Self { twins, live: Rows::default(), other: Rows::default() }
    }

    /// Compares until a page is used up, or there are enough suspects. Returns `true` at the end of the table.
    async fn go_on(
        &mut self,
        database: &Database,
        suspects: &mut VecDeque<Suspect>,
        found: &mut Comparison,
    ) -> Result<bool, BoxError> {
        let Self { twins, live, other } = self;
        let (filled, filled_other) = tokio::join!(
            live.fill(database, Some(&twins.live)),
            other.fill(database, twins.other.as_deref())
        );
        filled.and(filled_other)?;
        while suspects.len() < SUSPECTS_MAX {
            let order = match (live.key()?, other.key()?) {
                (Some(live), Some(other)) => live.cmp(other),
                // A side without a row here has none left, or has to read its next page first.
                (Some(_), None) if other.is_over => Ordering::Less,
                (None, Some(_)) if live.is_over => Ordering::Greater,
                (None, None) => return Ok(live.is_over && other.is_over),
                _ => return Ok(false),
            };
            let of_live = if order.is_le() { live.page.pop_front() } else { None };
            let of_other = if order.is_ge() { other.page.pop_front() } else { None };
            found.rows += u64::from(of_live.is_some());
            if let (Some(live), Some(other)) = (&of_live, &of_other)
                && is_equal(live, other)
            {
                continue;
            }
            let Some(row) = of_live.as_ref().or(of_other.as_ref()) else { continue };
            let key = to_text(row, KEY)?.to_owned();
            let bytes = [&of_live, &of_other].into_iter().flatten().map(item::size_bytes).max().unwrap_or(0);
            suspects.push_back(Suspect { twins: twins.clone(), key, bytes });
        }
        Ok(false)
    }
}

/// Whether two rows are the same in different partitions.
fn is_equal(one: &Item, other: &Item) -> bool {
    one.len() == other.len()
        && one.iter().all(|(name, value)| name == PARTITION || other.get(name) == Some(value))
}

/// A row without its keys, in the order of its attributes' names.
fn words(row: &Item) -> String {
    let mut attributes: Vec<_> = row.iter().filter(|(name, _)| *name != PARTITION && *name != KEY).collect();
    attributes.sort_unstable_by_key(|(name, _)| *name);
    let attributes: Vec<_> =
        attributes.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    shortened(&format!("({})", attributes.join(", ")))
}

fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.clone(),
        AttributeValue::Bool(truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}
