//! Rebuilds the rows of some streams: replays the streams in memory, and replaces the rows that differ in one
//! transaction, while the projection goes on.
//!
//! `replay` makes the rows while the worker goes on, as `standing` says how far. The worker then replays what it has
//! applied meanwhile, and writes, between two steps. The epoch rises: another worker in the middle of a step, which has
//! read the rows before, fails at the fence. The fold's own code makes the rows; see `explain` for the database that it
//! writes to.

mod replay;
pub(crate) mod standing;

use std::fmt;
use std::sync::Arc;

use ees_store::{Checkpoint, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, OwnedMutexGuard};

use self::replay::Replay;
use self::standing::Standing;
use crate::database::{AuditRows, Database, TooLarge, Transaction};
use crate::error::{BoxError, chain, is_caused_by, is_missing_right};
use crate::projection::Order;
use crate::projection_state::{AuditEntry, ProjectionState};
use crate::read_model::{Change, Table};
use crate::rebuilt_streams::{RebuildStreams, RebuiltRow, RebuiltStreams};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::explain::explainable::Explainable;
use crate::worker::explain::is_same;
use crate::worker::explain::steps::{changed, json_of};
use crate::worker::operations::operation::OperateError;

/// Rows that are loaded at once.
const LOADED_AT_ONCE: usize = 1_000;
/// The most rows that are told of, and the most bytes of them.
const ROWS_MAX: usize = 1_000;
const ROWS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most streams that the audit names.
const AUDITED_MAX: usize = 10;

/// A rebuild of the rows of some streams, on its way to the worker and back.
#[derive(Clone)]
pub(crate) struct StreamRebuild(Arc<Mutex<Prepared>>);

struct Prepared {
    replay: Replay,
    dry_run: bool,
    outcome: Option<RebuiltStreams>,
}

impl fmt::Debug for StreamRebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRebuild").finish_non_exhaustive()
    }
}

impl StreamRebuild {
    /// Returns what came of it, once the worker is done.
    pub(crate) async fn outcome(&self) -> Result<RebuiltStreams, OperateError> {
        let not_done = || OperateError::Unavailable("the worker has not rebuilt the streams".to_owned());
        self.0.lock().await.outcome.take().ok_or_else(not_done)
    }
}

/// The rows that differ from what the events make.
struct Differences {
    /// The changes of each table.
    changes: Vec<Vec<Change>>,
    outcome: RebuiltStreams,
}

impl<D: Database> Core<D> {
    /// Checks that the rows of single streams can be rebuilt, and replays the streams.
    pub(crate) async fn prepare_stream_rebuild(
        self: Arc<Self>,
        RebuildStreams { streams, dry_run }: RebuildStreams,
    ) -> Result<StreamRebuild, OperateError> {
        let explainable = self.foldable()?;
        let mut replay = Replay::new(&self, &*explainable, streams).await?;
        // The first pass may take long. What was applied meanwhile is replayed in the second one, and what is
        // applied during that one in the transaction.
        for _ in 0..2 {
            let standing = self.standing_now().await?;
            replay.run_to(&self, &*explainable, &standing).await?;
        }
        Ok(StreamRebuild(Arc::new(Mutex::new(Prepared { replay, dry_run, outcome: None }))))
    }

    /// Returns the projection, if each of its rows is made of one stream by code that can be run again.
    fn foldable(&self) -> Result<Arc<dyn Explainable<D::Tx>>, OperateError> {
        self.processor.require_read_model()?;
        let explainable = self.explainable().ok_or(OperateError::NotSupported(
            "this projection has statements of its own: what an event does to a row is known to the database only, so \
             the rows of single streams can't be rebuilt. Rebuild the whole projection",
        ))?;
        match self.processor.order() {
            Order::Stream => Ok(explainable),
            Order::Log => Err(OperateError::NotSupported(
                "this projection needs the global order (Order::Log): events of several streams may make a row, so the \
                 rows of single streams can't be rebuilt. Rebuild the whole projection; or, if each row is made of one \
                 stream, declare Order::Stream",
            )),
        }
    }

    /// Reads where this read model is, and that the log is still the one that it was made of.
    async fn standing_now(self: &Arc<Self>) -> Result<Arc<Standing>, OperateError> {
        let core = self.clone();
        let read = self.read(move |tx| async move { Ok(core.lock_standing(tx).await) }.boxed());
        let standing = read.await??;
        self.verify_log(&standing).await?;
        Ok(Arc::new(standing))
    }

    /// Replaces the rows that differ, in one transaction with the audit. A dry run only finds them.
    pub(crate) fn rebuild_streams<'a>(
        self: &'a Arc<Self>,
        rebuild: &'a StreamRebuild,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<(), OperateError>> {
        async move {
            let explainable = self.foldable()?;
            let mut prepared = rebuild.0.clone().lock_owned().await;
            // Without a lock on the row: it may be long since the replay.
            let standing = self.standing_now().await?;
            prepared.replay.run_to(self, &*explainable, &standing).await?;
            let (core, reason) = (self.clone(), reason.to_owned());
            let transaction = async move { Ok(core.replace_rows(&*explainable, prepared, reason).await) };
            self.run(transaction.boxed()).await?
        }
        .boxed()
    }

    async fn replace_rows(
        self: &Arc<Self>,
        explainable: &dyn Explainable<D::Tx>,
        mut prepared: OwnedMutexGuard<Prepared>,
        reason: String,
    ) -> Result<(), OperateError> {
        let Prepared { replay, dry_run, outcome } = &mut *prepared;
        let dry_run = *dry_run;
        let mut tx = self.begin().await?;
        let standing = Arc::new(self.lock_standing(&mut tx).await?);
        if !replay.goes_on_to(&standing) {
            return Err(OperateError::Overtaken);
        }
        // A log that does not show all of it yet would make other rows.
        self.verify_log(&standing).await?;
        replay.run_to(self, explainable, &standing).await?;
        self.fence_streams(&mut tx, &standing, replay.streams(), ProjectionState::clone).await?;
        let found = self.differences(explainable, &mut tx, replay, standing.end()).await?;
        if !dry_run && found.changes.iter().any(|of_table| !of_table.is_empty()) {
            // A worker that would go on from the rows as they were fails. The fingerprint ends: whether it counts a row
            // as it was found or as it should be depends on who made it wrong, the fold or somebody else.
            let changed = |state: &ProjectionState| state.moved(|state| state.fingerprint = None);
            self.fence_streams(&mut tx, &standing, replay.streams(), changed).await?;
        }
        if !dry_run {
            let tables = replay.observed.tables();
            explainable.write(&mut tx, tables, found.changes).await.map_err(|error| refused::<D>(error))?;
            let entry = audit_entry(replay, &found.outcome, standing.lowest(), reason);
            tx.audit(self.id(), &entry).await.map_err(|error| refused::<D>(error))?;
        }
        // Also of a dry run, although it writes nothing: a database without locks says here whether the rows that were
        // read are those of one position.
        tx.commit().await.map_err(|error| refused::<D>(error))?;
        *outcome = Some(RebuiltStreams { dry_run, ..found.outcome });
        Ok(())
    }

    /// Compares the rows of the replay with those that the read model has.
    async fn differences(
        &self,
        explainable: &dyn Explainable<D::Tx>,
        tx: &mut D::Tx,
        replay: &Replay,
        checkpoint: Checkpoint,
    ) -> Result<Differences, OperateError> {
        let mut changes = Vec::new();
        let mut outcome = RebuiltStreams {
            dry_run: true,
            checkpoint,
            streams: replay.streams().len() as u64,
            replayed: replay.replayed,
            added: 0,
            removed: 0,
            changed: 0,
            unchanged: 0,
            rows: Vec::new(),
            left_out: replay.left_out(),
        };
        let mut bytes = 0;
        let tables = replay.observed.tables();
        for table in tables {
            let mut of_table = Vec::new();
            let named: Vec<_> =
                replay.named().into_iter().flat_map(|named| named.of_table(&table.name)).collect();
            for named in named.chunks(LOADED_AT_ONCE) {
                let keys: Vec<_> = named.iter().map(|(key, _)| *key).collect();
                let stored = explainable.load(tx, table, &keys).await.map_err(|error| refused::<D>(error))?;
                for ((key, named), before) in named.iter().zip(stored) {
                    let row = replay.observed.row_of(&table.name, key).cloned();
                    if is_same(table, before.as_ref(), row.as_ref()) {
                        outcome.unchanged += 1;
                        continue;
                    }
                    if !named.is_written {
                        return Err(OperateError::Failed(format!(
                            "the row \"{key}\" of table {} can't be attributed: stream \"{}\" names it or looks it up, \
                             and changes it nowhere. It may be another stream's: then the projection needs Order::Log. \
                             Rebuild the whole projection",
                            table.name, named.stream_id
                        )));
                    }
                    let change = Change { key: (*key).to_owned(), before, row };
                    let told = told(table, &change, named.stream_id.clone())
                        .map_err(|error| OperateError::failed(&error))?;
                    outcome.count(&told);
                    bytes += told.bytes();
                    if outcome.rows.len() < ROWS_MAX && bytes <= ROWS_BYTES_MAX {
                        outcome.rows.push(told);
                    }
                    of_table.push(change);
                }
            }
            changes.push(of_table);
        }
        Ok(Differences { changes, outcome })
    }
}

impl RebuiltStreams {
    fn count(&mut self, row: &RebuiltRow) {
        *match (&row.before, &row.after) {
            (None, _) => &mut self.added,
            (_, None) => &mut self.removed,
            _ => &mut self.changed,
        } += 1;
    }
}

impl RebuiltRow {
    fn bytes(&self) -> usize {
        let rows = [&self.before, &self.after].into_iter().flatten();
        self.key.len() + rows.map(|row| row.as_str().len()).sum::<usize>()
    }
}

fn told(
    table: &Table,
    Change { key, before, row }: &Change,
    stream_id: ees_store::StreamId,
) -> Result<RebuiltRow, BoxError> {
    Ok(RebuiltRow {
        table: table.name.to_string(),
        key: key.clone(),
        stream_id,
        columns: changed(table, before.as_ref(), row.as_ref())?,
        before: json_of(table, before.as_ref())?,
        after: json_of(table, row.as_ref())?,
    })
}

fn audit_entry(
    replay: &Replay,
    outcome: &RebuiltStreams,
    checkpoint: Checkpoint,
    reason: String,
) -> AuditEntry {
    let named: Vec<_> = replay.streams().take(AUDITED_MAX).map(|stream| format!("\"{stream}\"")).collect();
    let more = match replay.streams().len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let RebuiltStreams { added, removed, changed, .. } = outcome;
    AuditEntry {
        at: Timestamp::now(),
        action: "rebuild_streams".to_owned(),
        reason,
        checkpoint,
        detail: format!(
            "streams {}{more}: {added} rows added, {removed} removed, {changed} changed",
            named.join(", ")
        ),
    }
}

/// Tells transient faults, and rows that are too many, from rows that the database does not take.
fn refused<D: Database>(error: BoxError) -> OperateError {
    if is_caused_by::<TooLarge>(&*error) {
        return OperateError::Failed(format!(
            "the rows of these streams don't fit one transaction of the read-model database: {}. Nothing was changed. \
             Name fewer streams in one call, or rebuild the whole projection",
            chain(&*error)
        ));
    }
    match StepError::from(error) {
        StepError::Database(error) if !D::is_transient(&*error) && !is_missing_right(&*error) => {
            OperateError::failed(&error)
        }
        error => error.into(),
    }
}
