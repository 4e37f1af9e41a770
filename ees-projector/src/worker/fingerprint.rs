//! Keeps the fingerprint of a fold's rows, and compares it with the rows.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::database::{Database, FoldRows, Transaction};
use crate::error::{BoxError, chain};
use crate::fingerprint::{Fingerprint, FingerprintCheck};
use crate::folded::Folded;
use crate::projection_state::ProjectionState;
use crate::read_model_id::ReadModelId;
use crate::worker::batch::Batch;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::reads_segments;
use crate::worker::processor::projection::ProjectionAdapter;

/// How often the rows are read again because the projection has moved meanwhile, on a database without snapshots.
const LOOKS_MAX: usize = 5;

/// A fold, or a composite, whose changes of rows are known.
pub(crate) trait Fingerprinted<Tx>: Send + Sync {
    /// Changes its tables by some of a batch's events. Returns by how much that changes the fingerprint.
    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut Tx,
    ) -> BoxFuture<'a, Result<Fingerprint, BoxError>>;

    /// Reads all rows of a read model. Returns their number and their fingerprint.
    fn read<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
    ) -> BoxFuture<'a, Result<(u64, Fingerprint), BoxError>>;
}

impl<Tx, E> Fingerprinted<Tx> for ProjectionAdapter<Folded<E>>
where
    Tx: FoldRows,
    E: DeserializeOwned + Send + Sync + 'static,
{
    fn apply<'a>(
        &'a self,
        batch: &'a Batch,
        events: &'a [usize],
        tx: &'a mut Tx,
    ) -> BoxFuture<'a, Result<Fingerprint, BoxError>> {
        async move { self.projection().fold_and_write(&batch.recorded(events), tx, true).await }.boxed()
    }

    fn read<'a>(
        &'a self,
        tx: &'a mut Tx,
        model: &'a ReadModelId,
    ) -> BoxFuture<'a, Result<(u64, Fingerprint), BoxError>> {
        self.projection().read_fingerprint(tx, model).boxed()
    }
}

impl<D: Database> Core<D> {
    /// Returns the fingerprint of an empty read model, if the projection keeps one.
    pub(crate) fn fingerprint_of_nothing(&self) -> Option<Fingerprint> {
        self.fingerprinted().map(|_| Fingerprint::default())
    }

    /// Compares the fingerprint that the projection keeps with the rows.
    pub(crate) async fn check_fingerprint(self: Arc<Self>) -> Result<FingerprintCheck, OperateError> {
        self.processor.require_read_model()?;
        if self.fingerprinted().is_none() {
            return Err(OperateError::NotSupported(
                "the program that runs this projection keeps no fingerprint of its rows: start it with `ees serve \
                 --fingerprints`, or with `Settings::fingerprint`, and rebuild the projection. One with statements \
                 of its own can't have a fingerprint: verify it in full",
            ));
        }
        for _ in 0..LOOKS_MAX {
            let core = self.clone();
            // However long it takes.
            let looked = self.database.run(async move { core.look_at_rows().await });
            if let Some(check) = looked.await.map_err(StepError::from)?? {
                return Ok(check);
            }
        }
        Err(OperateError::Failed(
            "the projection moves faster than its rows are read: pause it, and try again".to_owned(),
        ))
    }

    /// Reads the rows and what is kept. Returns `None` if the projection has moved meanwhile.
    async fn look_at_rows(&self) -> Result<Option<FingerprintCheck>, OperateError> {
        let Some(fingerprinted) = self.fingerprinted() else { return Ok(None) };
        let mut tx = self.begin().await?;
        // A database that compares while the live read model moves on has no snapshots.
        if D::SIDE_BY_SIDE && self.database.comparison(&self.live(), self.id()).is_none() {
            tx.snapshot().await.map_err(StepError::from)?;
        }
        let rows = self.rows_with_position(&mut tx).await?;
        let Some(first) = rows.first() else { return Err(OperateError::NeverStarted) };
        if rows.iter().any(|row| row.segment.is_some()) {
            return Err(reads_segments());
        }
        if first.version != self.processor.version() {
            return Err(OperateError::Absent);
        }
        let Some(kept) = sum(&rows) else {
            return Err(OperateError::Failed(format!(
                "the rows were written before the projection kept a fingerprint, or those of some streams were rebuilt \
                 since: rebuild the whole (`ees projections rebuild {}`), in place or side by side",
                self.live().name()
            )));
        };
        let read = fingerprinted.read(&mut tx, self.id()).await;
        let (count, found) = read.map_err(|error| match D::is_transient(&*error) {
            true => StepError::from(error).into(),
            false => OperateError::Failed(chain(&*error)),
        })?;
        if self.rows_with_position(&mut tx).await? != rows {
            return Ok(None);
        }
        let checkpoint = first.position.next;
        let is_at_one = rows.iter().all(|row| row.position.next == checkpoint);
        let checkpoint = is_at_one.then_some(checkpoint);
        Ok(Some(FingerprintCheck { checkpoint, rows: count, kept, found }))
    }

    /// Returns the row of the projection, or those of its partitions.
    async fn rows_with_position(&self, tx: &mut D::Tx) -> Result<Vec<ProjectionState>, StepError> {
        let Some(row) = tx.load(self.id()).await? else { return Ok(Vec::new()) };
        if !self.is_left_to_partitions(&row) {
            return Ok(vec![row]);
        }
        let partitions = tx.partitions(self.id(), false).await?;
        Ok(partitions.into_iter().map(|partition| partition.state).collect())
    }
}

/// The fingerprint of a read model whose partitions have these rows; `None` if one of them keeps none.
pub(crate) fn sum<'a>(rows: impl IntoIterator<Item = &'a ProjectionState>) -> Option<Fingerprint> {
    rows.into_iter().try_fold(Fingerprint::default(), |sum, row| Some(sum.plus(row.fingerprint?)))
}
