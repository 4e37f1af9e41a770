//! What a transaction keeps besides the projection's own row.

use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};

use super::Transaction;
use crate::error::BoxError;
use crate::projection_state::{AuditEntry, ChangesetRef, ParkedStream};
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use crate::read_model::{Change, Row, Table};
use crate::read_model_id::ReadModelId;

/// The part of a transaction that keeps what is parked.
pub trait ParkedRows {
    /// Puts a changeset behind those of its stream that wait. The stream's row is made by the first.
    fn park(
        &mut self,
        model: &ReadModelId,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The streams that wait, those to be tried first at the front.
    fn parked(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Vec<ParkedStream>, BoxError>> + Send;

    /// The places of a stream's changesets that wait, in order, at most so many.
    fn parked_places(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Checkpoint>, BoxError>> + Send;

    /// Takes a changeset out of those that wait, and its stream when it was the last one; `false` when it was not
    /// there.
    fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Notes how a stream that waits stands: attempts, error, since when, and when it is tried again. Nothing, when none of
    /// its changesets waits any more.
    fn update_parked(
        &mut self,
        model: &ReadModelId,
        stream: &ParkedStream,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Forgets all that waits.
    fn clear_parked(&mut self, model: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// The part of a transaction that keeps what operators did.
pub trait AuditRows {
    /// Notes what an operator did.
    fn audit(
        &mut self,
        model: &ReadModelId,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// What operators did, the newest first, at most so many.
    fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, BoxError>> + Send;

    /// Forgets what operators did before that moment, the oldest first, and what else only matters for a while; at most
    /// so many of each. How many entries went.
    fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, BoxError>> + Send;
}

/// The part of a transaction that keeps the ledgers of reactors.
pub trait LedgerRows {
    /// Notes that an effect is begun once more, unless it is done; how it stands then. `within` is how long an attempt
    /// lasts at most: where there is no lease, one that may be under way elsewhere makes it fail with [`Fenced`](super::Fenced).
    fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        within: Duration,
    ) -> impl Future<Output = Result<Effect, BoxError>> + Send;

    /// Notes how an effect ended.
    fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Notes of a changeset's effects what became of those that are not done.
    fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The effects that are asked for, those begun last at the front.
    fn effects(
        &mut self,
        model: &ReadModelId,
        wanted: &EffectQuery,
    ) -> impl Future<Output = Result<Vec<Effect>, BoxError>> + Send;

    /// Forgets effects that were done or discarded before that moment, at most so many. How many went.
    fn sweep_effects(
        &mut self,
        model: &ReadModelId,
        before: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, BoxError>> + Send;
}

/// A transaction that keeps the rows of folds. A key is text to whoever calls; it fits the table's key.
pub trait FoldRows: Transaction {
    /// Makes the table and its indexes.
    fn create_table(&mut self, table: &Table) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Drops the table, if there is one.
    fn drop_table(&mut self, table: &Table) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The rows under these keys, in their order.
    fn load_rows(
        &mut self,
        table: &Table,
        keys: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<Row>>, BoxError>> + Send;

    /// Writes these rows; of each key there is one. `None` removes the row.
    fn write_rows(
        &mut self,
        table: &Table,
        rows: &[Change],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}
