//! The rows that a transaction keeps besides the projection's own: parked streams, the audit, the ledger, timers,
//! the rows of folds.

use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};

use crate::error::BoxError;
use crate::projection_state::{AuditEntry, ChangesetRef, ParkedStream};
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended, Timer, TimerQuery};
use crate::read_model::{Change, Column, Differences, Row, RowError, Table};
use crate::read_model_id::ReadModelId;

/// The rows of parked streams.
pub trait ParkedRows {
    /// Appends a changeset to the parked changesets of its stream. The first one inserts the stream's row.
    fn park(
        &mut self,
        model: &ReadModelId,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Returns the parked streams, sorted by the time of their next retry.
    fn parked(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Vec<ParkedStream>, BoxError>> + Send;

    /// Returns the checkpoints of the first `limit` parked changesets of a stream, in order.
    fn parked_checkpoints(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Checkpoint>, BoxError>> + Send;

    /// Removes a parked changeset, and its stream's row with the last one. Returns `false` if it was not
    /// parked.
    fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Updates a parked stream: attempts, error, since when, next retry. Does nothing if none of its
    /// changesets is parked any more.
    fn update_parked(
        &mut self,
        model: &ReadModelId,
        stream: &ParkedStream,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Removes everything that is parked in the read model.
    fn clear_parked(&mut self, model: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// The rows of the audit.
pub trait AuditRows {
    /// Appends an entry to the audit.
    fn audit(
        &mut self,
        model: &ReadModelId,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Returns the newest `limit` entries of the audit, the newest first.
    fn audit_entries(
        &mut self,
        model: &ReadModelId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, BoxError>> + Send;

    /// Deletes audit entries older than `audit_before`, the oldest first, and other records that have
    /// expired; at most `limit` of each kind. Returns the number of deleted entries.
    fn sweep(
        &mut self,
        model: &ReadModelId,
        audit_before: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, BoxError>> + Send;
}

/// The rows of a reactor's ledger.
pub trait LedgerRows {
    /// Records a new attempt of an effect, unless the effect is done. Returns the effect as it is then.
    /// `within` is the longest that this attempt may take. A database that several processes share returns
    /// [`Fenced`](super::Fenced) while an attempt of another worker may still be in progress: it has not ended, and the
    /// time that it had when it began is not over.
    fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        within: Duration,
    ) -> impl Future<Output = Result<Effect, BoxError>> + Send;

    /// Records how an attempt ended. A failure is news only of the last attempt ([`Effect::record_end`]).
    fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Sets the state of all effects of a changeset that are not done.
    fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Returns the effects that match, those begun last first.
    fn effects(
        &mut self,
        model: &ReadModelId,
        wanted: &EffectQuery,
    ) -> impl Future<Output = Result<Vec<Effect>, BoxError>> + Send;

    /// Deletes effects that were done or discarded before this time, at most `limit`. Returns the number of
    /// deleted effects.
    fn sweep_effects(
        &mut self,
        model: &ReadModelId,
        before: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, BoxError>> + Send;
}

/// The rows of a reactor's timers. A stream has at most one timer with a key.
pub trait TimerRows {
    /// Returns the timer of a stream with this key.
    fn timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> impl Future<Output = Result<Option<Timer>, BoxError>> + Send;

    /// Returns the timers that match, in the order of [`Timer::place`]. Reads no others: there may be many that
    /// are due later.
    fn timers(
        &mut self,
        model: &ReadModelId,
        wanted: &TimerQuery,
    ) -> impl Future<Output = Result<Vec<Timer>, BoxError>> + Send;

    /// Writes a timer. It replaces the stream's timer with the same key.
    fn put_timer(
        &mut self,
        model: &ReadModelId,
        timer: &Timer,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Removes the timer of a stream with this key. Does nothing if there is none.
    fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// The rows of folds. A key is given as its text, and fits the key column of the table.
pub trait FoldRows: Send + 'static {
    /// Checks that the database keeps this key as it is. Called for each key before it is loaded. Default: it
    /// does.
    ///
    /// # Errors
    /// [`RowError`] says what it can't keep. The event that named the key then fails.
    fn check_key(table: &Table, key: &str) -> Result<(), RowError> {
        let _ = (table, key);
        Ok(())
    }

    /// Checks that the database keeps this row as it is. Called for each changed row before it is written.
    /// Default: it does.
    ///
    /// # Errors
    /// [`RowError`] names the column, and says what it can't keep. The event that made the row then fails.
    fn check_row(table: &Table, key: &str, row: &Row) -> Result<(), RowError> {
        let _ = (table, key, row);
        Ok(())
    }

    /// Returns how the table in the database differs from this one. `others` names what the projection did not
    /// make: see [`objects_of_others`](super::Transaction::objects_of_others). Default: no difference, for a
    /// database whose tables have no columns of their own.
    fn differences(
        &mut self,
        table: &Table,
        others: &[String],
    ) -> impl Future<Output = Result<Differences, BoxError>> + Send {
        let _ = (table, others);
        async { Ok(Differences::default()) }
    }

    /// Adds columns to the table, NULL in each row. Called with what [`differences`](Self::differences) found
    /// missing. Default: does nothing.
    fn add_columns(
        &mut self,
        table: &Table,
        columns: &[&Column],
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (table, columns);
        async { Ok(()) }
    }

    /// Creates the table and its indexes.
    fn create_table(&mut self, table: &Table) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Drops the table if it exists.
    fn drop_table(&mut self, table: &Table) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Returns the rows with these keys, in the order of the keys. `None`: there is no such row.
    fn load_rows(
        &mut self,
        table: &Table,
        keys: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<Row>>, BoxError>> + Send;

    /// Returns up to `limit` rows of a read model's table, in the order of their keys as the database has it, after
    /// the row with the key `after`. Each has its key as text. Called in a [snapshot](super::Transaction::snapshot) where
    /// the database has one. Default: refuses, and the rows of the database can't be compared with a fingerprint.
    fn rows_after(
        &mut self,
        model: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(String, Row)>, BoxError>> + Send {
        let _ = (model, table, after, limit);
        async { Err("this database does not list the rows of a table".into()) }
    }

    /// Writes these rows, at most one for each key. A change without a row deletes the row.
    fn write_rows(
        &mut self,
        table: &Table,
        rows: &[Change],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}
