//! What a read-model database must be able to do. Users meet it as [`sqlite::Database`](crate::sqlite::Database),
//! [`postgres::Database`](crate::postgres::Database) and [`memory::Database`](crate::memory::Database).

mod rows;

use std::collections::HashSet;
use std::error::Error;
use std::future::Future;

pub use self::rows::{AuditRows, FoldRows, LedgerRows, ParkedRows};
use crate::error::BoxError;
use crate::projection_state::{Pause, Position, ProjectionState};
use crate::read_model_id::ReadModelId;
use crate::standby::Comparison;

/// A database that keeps read models: where transactions begin.
pub trait Database: Send + Sync + 'static {
    /// Its transactions.
    type Tx: Transaction;

    /// Begins a transaction. Waits for another writer.
    fn begin(&self) -> impl Future<Output = Result<Self::Tx, BoxError>> + Send;

    /// As [`begin`](Self::begin), for what must last once it is committed, even if the machine loses power: effects that
    /// are recorded. A read model can be built anew, and need not.
    fn begin_durable(&self) -> impl Future<Output = Result<Self::Tx, BoxError>> + Send {
        self.begin()
    }

    /// Runs a piece of work where it does no harm: a database that blocks moves it to a thread for that.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, BoxError>> + Send {
        async move { Ok(work.await) }
    }

    /// Whether a read model can be built beside another one, and swapped with it.
    const SIDE_BY_SIDE: bool = false;

    /// Whether several workers can share a projection's streams.
    const PARTITIONS: bool = false;

    /// Whether an error is the database's and passes: a lost connection, a full disk, a lock. Such an error is tried
    /// again for ever, and never blamed on a changeset.
    fn is_transient(error: &(dyn Error + 'static)) -> bool;
}

/// What [`Transaction::commit`] fails with when the row is not any more where [`Transaction::replace`] was told to find it: in a
/// database that looks only then. The worker reads the row again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another worker moved the projection meanwhile")]
pub struct Fenced;

/// What any part of a [`Transaction`] fails with when it takes no more: the batch comes again in smaller portions. It says of a
/// changeset what is too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TooLarge(pub String);

/// What a database says that has no room beside a read model.
const ALONE: &str = "this read-model database can't keep one read model beside another";

/// The row of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// Which it is of.
    pub id: ReadModelId,
    /// Who is at work in it.
    pub owner: Option<String>,
    /// The row.
    pub state: ProjectionState,
}

/// A right that was given on a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The table, as the statement names it.
    pub table: String,
    /// The statement that gives it again.
    pub statement: String,
}

/// Who may be at work in a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Whoever asks: the database is one process's alone.
    NotNeeded,
    /// The worker that asked, for the next seconds.
    Ours {
        /// That worker.
        worker: String,
    },
    /// Another one, or one that is yet to take it.
    Elsewhere {
        /// Who, if somebody has it.
        worker: Option<String>,
    },
    /// It can't be told at the moment: somebody is in the middle of a step.
    Busy,
}

/// A transaction on a read-model database: the projection's tables and the framework's, changed together or not at
/// all. Dropped without [`commit`](Transaction::commit), it leaves no trace.
pub trait Transaction: ParkedRows + AuditRows + LedgerRows + Send + 'static {
    /// The projection's row, if it was ever started here.
    fn load(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Option<ProjectionState>, BoxError>> + Send;

    /// Makes the projection's row; `false` when there is one.
    fn insert(
        &mut self,
        model: &ReadModelId,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Replaces the projection's row if it stands where it is believed to stand; `false` when it does not. A database that
    /// finds out later lets [`commit`](Self::commit) fail with [`Fenced`].
    fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Takes the lease on the read model, or keeps it: whoever has it is at work in it. It ends by itself when it is not
    /// kept, and is handed over when another worker's turn has come. `stays` is a worker that goes on; others take a
    /// lease only that nobody has.
    ///
    /// A lease saves work that two workers would do twice; what keeps them right is [`replace`](Self::replace).
    fn lease(
        &mut self,
        model: &ReadModelId,
        version: u32,
        stays: bool,
    ) -> impl Future<Output = Result<Lease, BoxError>> + Send {
        let _ = (model, version, stays);
        async { Ok(Lease::NotNeeded) }
    }

    /// As [`load`](Self::load), and nobody else changes the row until the transaction ends.
    fn lock(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Option<ProjectionState>, BoxError>> + Send {
        self.load(model)
    }

    /// From now on the transaction sees one state of the database, and only reads. Comes first in it.
    fn snapshot(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Err(ALONE.into()) }
    }

    /// Bytes that a read model's tables and indexes take, if the database can tell.
    fn size_bytes(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send {
        let _ = model;
        async { Ok(None) }
    }

    /// Compares all tables of two read models.
    fn compare(
        &mut self,
        one: &ReadModelId,
        other: &ReadModelId,
    ) -> impl Future<Output = Result<Comparison, BoxError>> + Send {
        let _ = (one, other);
        async { Err(ALONE.into()) }
    }

    /// Lets the live read model and the one beside it exchange their tables, so that readers notice nothing, and what
    /// is parked. Their rows are exchanged by [`replace`](Self::replace). `back` is to one that was live before: of the
    /// rights it had then, those count that the live one has now.
    fn exchange(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
        back: bool,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (live, standby, back);
        async { Err(ALONE.into()) }
    }

    /// The transactions of others that are open at this moment: one of them may see the database as it was when it
    /// began.
    fn open_transactions(&mut self) -> impl Future<Output = Result<HashSet<String>, BoxError>> + Send {
        async { Ok(HashSet::new()) }
    }

    /// Removes a read model, with its row and all that is parked.
    fn discard(&mut self, model: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = model;
        async { Err(ALONE.into()) }
    }

    /// Who may read the tables of a read model.
    fn grants(&mut self, model: &ReadModelId) -> impl Future<Output = Result<Vec<Grant>, BoxError>> + Send {
        let _ = model;
        async { Ok(Vec::new()) }
    }

    /// Lets them read the tables that were made anew; those that are no more are passed over.
    fn grant(&mut self, grants: &[Grant]) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = grants;
        async { Ok(()) }
    }

    /// The rows of a projection's partitions, in their order; locked, nobody else changes them until the transaction
    /// ends.
    fn partitions(
        &mut self,
        model: &ReadModelId,
        locked: bool,
    ) -> impl Future<Output = Result<Vec<PartitionRow>, BoxError>> + Send {
        let _ = (model, locked);
        async { Ok(Vec::new()) }
    }

    /// Makes the row of a partition.
    fn add_partition(
        &mut self,
        partition: &ReadModelId,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (partition, state);
        async { Err(ALONE.into()) }
    }

    /// Removes the rows of all partitions.
    fn remove_partitions(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = model;
        async { Ok(()) }
    }

    /// Pauses all partitions, or lets all go on.
    fn pause_partitions(
        &mut self,
        model: &ReadModelId,
        pause: Option<&Pause>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (model, pause);
        async { Ok(()) }
    }

    /// Gives the lease back, if this worker has it.
    fn release_lease(&mut self, model: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = model;
        async { Ok(()) }
    }

    /// Makes all of it last.
    fn commit(self) -> impl Future<Output = Result<(), BoxError>> + Send;
}
