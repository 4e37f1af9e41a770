//! Runs a fold or a composite: loads the rows that a batch needs, folds them stage by stage, and writes the
//! changed ones.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use crate::composite::{Composite, IntoComposite, InvalidComposite};
use crate::database::FoldRows;
use crate::fingerprint::{Fingerprint, RowHasher};
use crate::read_model::{Change, Column};
use crate::read_model_id::ReadModelId;
use crate::stage::{Checks, Hidden};
use crate::{BoxError, Order, Projection, Recorded, Subscription, Table, TablesChecked};

/// The rows that are read at once for the fingerprint of a read model.
const READ_AT_ONCE: usize = 1_000;

/// A fold, or a composite of several, as a projection on every database that implements [`FoldRows`].
pub(crate) struct Folded<E> {
    composite: Composite<E>,
}

impl<E> Folded<E> {
    pub(crate) fn new(fold: impl IntoComposite<Event = E>) -> Self {
        Self { composite: fold.into_composite() }
    }

    /// Checks the stages and their tables.
    pub(crate) fn checked(fold: impl IntoComposite<Event = E>) -> Result<Self, InvalidComposite> {
        let folded = Self::new(fold);
        folded.composite.check()?;
        Ok(folded)
    }

    /// The tables of all stages.
    #[cfg(feature = "testkit")]
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.composite.stages.iter().map(|stage| stage.table())
    }
}

/// Writes the changed rows of tables. A row may refer to one of an earlier table, so rows are written in the order of the
/// tables and deleted in the reverse one.
pub(crate) async fn write_in_order<'t, Tx: FoldRows>(
    tables: impl DoubleEndedIterator<Item = &'t Table> + ExactSizeIterator + Clone,
    mut changed: Vec<Vec<Change>>,
    tx: &mut Tx,
) -> Result<(), BoxError> {
    let mut deleted = Vec::new();
    if tables.len() > 1 {
        for changed in &mut changed {
            let (kept, gone) = std::mem::take(changed).into_iter().partition(|change| change.row.is_some());
            *changed = kept;
            deleted.push(gone);
        }
    }
    let deleted = tables.clone().zip(&deleted).rev();
    for (table, rows) in tables.zip(&changed).chain(deleted) {
        if !rows.is_empty() {
            tx.write_rows(table, rows).await?;
        }
    }
    Ok(())
}

impl<E: DeserializeOwned + Send + Sync + 'static> Folded<E> {
    /// Folds events, stage by stage. Returns the changed rows of each stage, and by how much they change the
    /// fingerprint, if `hashes` says that it is wanted.
    async fn fold<Tx: FoldRows>(
        &self,
        events: &[Recorded<'_, E>],
        tx: &mut Tx,
        hashes: bool,
    ) -> Result<(Vec<Vec<Change>>, Fingerprint), BoxError> {
        let stages = &self.composite.stages;
        // By the stage that asked.
        let mut answers: HashMap<usize, Hidden> = HashMap::new();
        let (mut changed, mut by) = (Vec::with_capacity(stages.len()), Fingerprint::default());
        for (number, stage) in stages.iter().enumerate() {
            let asking: Vec<usize> = (number + 1..stages.len())
                .filter(|later| self.composite.lookup_of(*later) == Some(number))
                .collect();
            let asked = asking.iter().filter_map(|later| Some(stages.get(*later)?.asks(events))).collect();
            let pass = stage.begin(events, answers.remove(&number), asked, Checks::of::<Tx>())?;
            let keys = pass.keys();
            let before = match keys.is_empty() {
                true => Vec::new(),
                false => tx.load_rows(stage.table(), &keys).await?,
            };
            drop(keys);
            let passed = pass.run(events, before, hashes)?;
            answers.extend(asking.into_iter().zip(passed.answers));
            changed.push(passed.changed);
            by = by.plus(passed.fingerprint);
        }
        Ok((changed, by))
    }

    /// Changes the rows by events. Returns by how much that changes the fingerprint, if `hashes` says that it is
    /// wanted.
    pub(crate) async fn fold_and_write<Tx: FoldRows>(
        &self,
        events: &[Recorded<'_, E>],
        tx: &mut Tx,
        hashes: bool,
    ) -> Result<Fingerprint, BoxError> {
        let (changed, by) = self.fold(events, tx, hashes).await?;
        write_in_order(self.composite.stages.iter().map(|stage| stage.table()), changed, tx).await?;
        Ok(by)
    }

    /// Reads all rows of a read model. Returns their number and their fingerprint.
    pub(crate) async fn read_fingerprint<Tx: FoldRows>(
        &self,
        tx: &mut Tx,
        model: &ReadModelId,
    ) -> Result<(u64, Fingerprint), BoxError> {
        let (mut count, mut found) = (0, Fingerprint::default());
        for stage in &self.composite.stages {
            let table = stage.table();
            let mut hasher = RowHasher::new(table);
            let mut after: Option<String> = None;
            loop {
                let mut rows = tx.rows_after(model, table, after.as_deref(), READ_AT_ONCE).await?;
                for (key, row) in &rows {
                    found = found.plus(hasher.hash(key, row));
                    count += 1;
                }
                match rows.pop() {
                    Some((last, _)) => after = Some(last),
                    None => break,
                }
            }
        }
        Ok((count, found))
    }
}

impl<E: DeserializeOwned + Send + Sync + 'static, Tx: FoldRows> Projection<Tx> for Folded<E> {
    type Event = E;

    fn name(&self) -> &str {
        &self.composite.name
    }

    fn version(&self) -> u32 {
        self.composite.version
    }

    fn subscription(&self) -> Subscription {
        self.composite.subscription.clone()
    }

    fn order(&self) -> Order {
        self.composite.order()
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        for stage in &self.composite.stages {
            tx.create_table(stage.table()).await?;
        }
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        for stage in self.composite.stages.iter().rev() {
            tx.drop_table(stage.table()).await?;
        }
        Ok(())
    }

    async fn check_tables(&self, tx: &mut Tx, others: &[String]) -> Result<TablesChecked, BoxError> {
        let (mut checked, mut to_add) = (TablesChecked::default(), Vec::new());
        for stage in &self.composite.stages {
            let table = stage.table();
            let found = tx.differences(table, others).await?;
            let is_missing = |column: &&Column| found.missing.iter().any(|name| *name == column.name);
            let missing: Vec<&Column> = table.columns.iter().filter(is_missing).collect();
            let may_be_added = found.others.is_empty()
                && missing.len() == found.missing.len()
                && missing.iter().all(|column| column.added);
            if !may_be_added {
                checked.differences.extend(found.in_words(table));
            } else if !missing.is_empty() {
                to_add.push((table, missing));
            }
        }
        if checked.differences.is_empty() {
            for (table, columns) in to_add {
                tx.add_columns(table, &columns).await?;
                let names = columns.iter().map(|column| format!("{}.{}", table.name, column.name));
                checked.added.extend(names);
            }
        }
        Ok(checked)
    }

    fn prefers_large_batches(&self) -> bool {
        true
    }

    async fn apply(&self, event: Recorded<'_, E>, tx: &mut Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(&self, events: &[Recorded<'_, E>], tx: &mut Tx) -> Result<(), BoxError> {
        self.fold_and_write(events, tx, false).await.map(drop)
    }
}
