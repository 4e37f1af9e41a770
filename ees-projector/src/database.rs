//! What a read-model database must provide. Implementations: `sqlite::Database`,
//! `postgres::Database`, `dynamodb::Database` (feature `dynamodb`) and
//! [`memory::Database`](crate::memory::Database).
//!
//! Implement [`Database`] and [`Transaction`] to keep read models in a database of your own, and [`FoldRows`]
//! to run folds on it.

mod moving_comparison;
mod rows;
mod turn;

use std::any::Any;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::future::Future;

use ees_store::Connections;

pub use self::moving_comparison::{Compared, MovingComparison};
pub use self::rows::{AuditRows, FoldRows, LedgerRows, ParkedRows, TimerRows};
pub(crate) use self::turn::take_turns;
use crate::error::BoxError;
use crate::partition::BUCKETS;
use crate::preview::RowDifferences;
use crate::projection_state::{Pause, Position, ProjectionState};
use crate::read_model_id::ReadModelId;
use crate::standby::Comparison;

/// A database that keeps read models. It begins transactions.
pub trait Database: Send + Sync + 'static {
    /// The type of its transactions.
    type Tx: Transaction;

    /// Begins a transaction. Waits while another writer holds the database.
    fn begin(&self) -> impl Future<Output = Result<Self::Tx, BoxError>> + Send;

    /// Begins a transaction whose commit survives a power loss. The ledger of a reactor needs this; a read
    /// model does not, because it can be rebuilt. Default: the same as [`begin`](Self::begin).
    fn begin_durable(&self) -> impl Future<Output = Result<Self::Tx, BoxError>> + Send {
        self.begin()
    }

    /// Begins a transaction of the worker of one read model. For a database that keeps a standby apart from the
    /// live read model. Default: the same as [`begin`](Self::begin).
    fn begin_in(&self, model: &ReadModelId) -> impl Future<Output = Result<Self::Tx, BoxError>> + Send {
        let _ = model;
        self.begin()
    }

    /// Begins the transaction that swaps a live read model and its standby
    /// ([`Transaction::exchange`]). Default: the same as [`begin`](Self::begin).
    fn begin_swap(&self) -> impl Future<Output = Result<Self::Tx, BoxError>> + Send {
        self.begin()
    }

    /// Runs database work. A database whose calls block runs it on a thread for blocking work. Default: runs
    /// it in place.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, BoxError>> + Send {
        async move { Ok(work.await) }
    }

    /// Whether the database can build a standby beside the live read model and swap the two. Default:
    /// `false`.
    const SIDE_BY_SIDE: bool = false;

    /// Whether a version of a projection can be [previewed](crate::Projector::preview): it builds a second read model,
    /// and tells in which rows two of them differ ([`Transaction::row_differences`]). Default: `false`.
    const PREVIEWS: bool = false;

    /// Whether several workers can share the streams of a projection. Default: `false`.
    const PARTITIONS: bool = false;

    /// The most workers that can share a rebuild by segments of the log. Each has a row as a partition has it, for the
    /// time of the rebuild. Default: as many as there can be partitions, or 1 if there can't be any.
    const SEGMENT_WORKERS_MAX: u32 = if Self::PARTITIONS { BUCKETS } else { 1 };

    /// Whether a copy of a read model can be kept beside it, in a place of its own. Default: `false`.
    const COPIES: bool = false;

    /// Returns the place for a copy of a read model under an operator's name: the database, and the copy's id there.
    /// Only with `create`, a place is made that does not exist yet. Default: refuses.
    ///
    /// # Errors
    /// The name does not fit, or names something that is no place for read models. The error says why.
    fn copy_of(
        &self,
        model: &ReadModelId,
        name: &str,
        create: bool,
    ) -> impl Future<Output = Result<(Self, ReadModelId), BoxError>> + Send
    where
        Self: Sized,
    {
        let _ = (model, name, create);
        async { Err(NO_STANDBY.into()) }
    }

    /// Removes a copy and everything of its place. `self` is the database of the copy. Default: refuses.
    fn remove_copy(self, copy: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send
    where
        Self: Sized,
    {
        let _ = copy;
        async { Err(NO_STANDBY.into()) }
    }

    /// Begins to compare the live read model with another one while it moves on. For a database without
    /// [snapshots](Transaction::snapshot). Default: `None`, so that [`Transaction::compare`] does it in a snapshot.
    fn comparison(&self, live: &ReadModelId, other: &ReadModelId) -> Option<Box<dyn MovingComparison>> {
        let _ = (live, other);
        None
    }

    /// Claims a projection for this process, until the claim is dropped. For a database that only one process
    /// may use for a projection at a time. Default: any number of processes may.
    ///
    /// # Errors
    /// [`ClaimedElsewhere`] while another process has the claim.
    fn claim(&self, projection: &str) -> Result<Claim, ClaimedElsewhere> {
        let _ = projection;
        Ok(Claim::default())
    }

    /// Returns its connections at this moment, for metrics. Default: `None`, for a database that is not
    /// elsewhere.
    fn connections(&self) -> Option<Connections> {
        None
    }

    /// Returns `true` for errors of the database that pass by themselves: a lost connection, a full disk, a
    /// lock. The worker retries them for ever and never blames a changeset for them.
    fn is_transient(error: &(dyn Error + 'static)) -> bool;
}

/// The right of this process to run a projection. It ends when this is dropped. The default holds nothing.
#[derive(Default)]
pub struct Claim(Option<Box<dyn Any + Send + Sync>>);

impl Claim {
    /// A claim that lasts as long as this value.
    pub fn holding(held: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(held)))
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("holds", &self.0.is_some()).finish()
    }
}

/// Another process runs the projection. The text says which one, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClaimedElsewhere(pub String);

/// The row moved: it is not at the position that [`Transaction::replace`] was given. A database that checks
/// this only at commit returns it from [`Transaction::commit`]. The worker reads the row again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another worker moved the projection meanwhile")]
pub struct Fenced;

/// The transaction is too large for the database. Every method of a [`Transaction`] may return it. The worker
/// retries the batch in smaller portions. The text says what is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TooLarge(pub String);

/// The answer of a database that keeps one read model of each projection.
const NO_STANDBY: &str = "this database can't keep a standby beside the live read model";

/// The row of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// The read model and the partition.
    pub id: ReadModelId,
    /// The worker that has the lease.
    pub owner: Option<String>,
    /// The projection's state in this partition.
    pub state: ProjectionState,
}

/// What others attached to the tables of a read model, and what they added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments {
    /// Rights, comments, policies and the like.
    pub statements: Vec<Attachment>,
    /// Indexes, triggers and the like. They are made again if the new tables allow it.
    pub additions: Vec<Addition>,
    /// The names of the tables, columns, indexes, triggers and so on that the projection did not make; of all
    /// of them if that is not known.
    pub objects: Vec<String>,
}

/// Whether a name in [`Attachments::objects`] is that of one of these tables, or of a part of one. If such a
/// table goes in a rebuild, the projection itself has dropped it, and so it is the projection's after all: it
/// makes tables when it applies events.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn is_part_of(object: &str, tables: &[String]) -> bool {
    tables.iter().any(|table| {
        object.strip_prefix("table ") == Some(table)
            || object
                .strip_prefix("column ")
                .and_then(|rest| rest.strip_prefix(&**table))
                .is_some_and(|rest| rest.starts_with('.'))
            || object.strip_suffix(&**table).is_some_and(|rest| rest.ends_with(" of "))
    })
}

/// Something that others added to a table: an index, a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// Its name, as among [`Attachments::objects`].
    pub name: String,
    /// The SQL statement that makes it.
    pub statement: String,
    /// The names of what must exist, if the statement would not fail without it: for a trigger, the columns
    /// of its table, because it shows only when it runs that one is missing.
    pub needs: Vec<String>,
}

/// Something that is attached to a table: a right, a comment, a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The SQL expression that says whether the statement applies to the table as it is now.
    pub condition: String,
    /// The SQL statement that attaches it again.
    pub statement: String,
}

/// Which worker may run a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The database has no leases: any worker may run it.
    NotNeeded,
    /// The worker that asked has the lease for the next seconds.
    Ours {
        /// The id of this worker.
        worker: String,
    },
    /// Another worker has the lease, or should acquire it next.
    Elsewhere {
        /// The worker that has the lease, if any.
        worker: Option<String>,
    },
    /// Unknown at the moment, because a step is in progress. Ask again.
    Busy,
}

/// A transaction on a read-model database. It changes the projection's tables and the framework's rows
/// together or not at all. Dropped without [`commit`](Transaction::commit), it changes nothing.
pub trait Transaction: ParkedRows + AuditRows + LedgerRows + TimerRows + Send + 'static {
    /// Returns the projection's row, or `None` if the projection was never started here.
    fn load(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Option<ProjectionState>, BoxError>> + Send;

    /// Inserts the projection's row. Returns `false` if there is one already.
    fn insert(
        &mut self,
        model: &ReadModelId,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Replaces the projection's row by compare-and-set: only if its position is `believed`. Returns `false`
    /// otherwise. A database that checks this only at commit returns [`Fenced`] from
    /// [`commit`](Self::commit).
    fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Acquires or renews the lease on the read model. A lease that is not renewed expires. The lease passes
    /// to another worker when its turn comes. `stays` is `true` for a worker that keeps running; others
    /// acquire the lease only if it is free.
    ///
    /// A lease only saves double work. [`replace`](Self::replace) keeps the result right. Default:
    /// [`Lease::NotNeeded`].
    fn lease(
        &mut self,
        model: &ReadModelId,
        version: u32,
        stays: bool,
    ) -> impl Future<Output = Result<Lease, BoxError>> + Send {
        let _ = (model, version, stays);
        async { Ok(Lease::NotNeeded) }
    }

    /// Loads the row as [`load`](Self::load) does and locks it until the transaction ends. Default: the same
    /// as [`load`](Self::load).
    fn lock(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Option<ProjectionState>, BoxError>> + Send {
        self.load(model)
    }

    /// Makes the transaction read-only, with one consistent view of the database. Must be its first call.
    fn snapshot(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Err(NO_STANDBY.into()) }
    }

    /// Returns the size of the read model's tables and indexes in bytes, or `None` if unknown. Default:
    /// `None`.
    fn size_bytes(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Option<u64>, BoxError>> + Send {
        let _ = model;
        async { Ok(None) }
    }

    /// Returns the write units that the commit would take, if the database charges any (DynamoDB). A deletion counts
    /// as one of a small row. Default: `None`.
    fn write_units(&self) -> Option<u64> {
        None
    }

    /// Compares all tables of two read models.
    fn compare(
        &mut self,
        one: &ReadModelId,
        other: &ReadModelId,
    ) -> impl Future<Output = Result<Comparison, BoxError>> + Send {
        let _ = (one, other);
        async { Err(NO_STANDBY.into()) }
    }

    /// Tells in which rows and columns two read models differ. They may have other tables and columns. Counts all
    /// differences, and keeps at most `samples` rows of each kind for each table. Default: refuses. Set
    /// [`Database::PREVIEWS`] with it.
    fn row_differences(
        &mut self,
        live: &ReadModelId,
        new: &ReadModelId,
        samples: usize,
    ) -> impl Future<Output = Result<RowDifferences, BoxError>> + Send {
        let _ = (live, new, samples);
        async { Err("this database can't tell in which rows two read models differ".into()) }
    }

    /// Swaps the tables and the parked streams of the live read model and its standby in one step that
    /// readers do not notice. The caller swaps the rows with [`replace`](Self::replace). What administrators
    /// attached to the live one goes over to the other. `back` is `true` for a rollback: the read model gets
    /// what the live one has now, not what it had before. With partitions, no worker keeps a lease on one.
    fn exchange(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
        back: bool,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (live, standby, back);
        async { Err(NO_STANDBY.into()) }
    }

    /// Returns the open transactions of other connections. Each may still see the database as it was when it
    /// began. Default: none.
    fn open_transactions(&mut self) -> impl Future<Output = Result<HashSet<String>, BoxError>> + Send {
        async { Ok(HashSet::new()) }
    }

    /// Removes a read model, its row, those of its partitions, and everything that is parked in it.
    fn discard(&mut self, model: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = model;
        async { Err(NO_STANDBY.into()) }
    }

    /// Returns the names of everything in a read model that the projection did not make. Default: none.
    fn objects_of_others(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Vec<String>, BoxError>> + Send {
        let _ = model;
        async { Ok(Vec::new()) }
    }

    /// Records that the projection made everything in a read model but `others`. Default: does nothing.
    fn claim_objects(
        &mut self,
        model: &ReadModelId,
        others: &[String],
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (model, others);
        async { Ok(()) }
    }

    /// Returns what others attached to the tables of a read model. Default: nothing.
    fn attachments(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<Attachments, BoxError>> + Send {
        let _ = model;
        async { Ok(Attachments::default()) }
    }

    /// Attaches it again to tables that were created again, as far as they allow it. Returns the objects that
    /// no longer exist. Default: does nothing.
    fn attach(
        &mut self,
        model: &ReadModelId,
        attachments: &Attachments,
    ) -> impl Future<Output = Result<Vec<String>, BoxError>> + Send {
        let _ = (model, attachments);
        async { Ok(Vec::new()) }
    }

    /// Returns what a swap would leave behind: what others added to the live read model or made to depend on
    /// it, and the standby does not have. Default: nothing.
    fn left_behind(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
    ) -> impl Future<Output = Result<Vec<String>, BoxError>> + Send {
        let _ = (live, standby);
        async { Ok(Vec::new()) }
    }

    /// Returns the rows of a projection's partitions, in order. `locked` locks them until the transaction
    /// ends. Default: none.
    fn partitions(
        &mut self,
        model: &ReadModelId,
        locked: bool,
    ) -> impl Future<Output = Result<Vec<PartitionRow>, BoxError>> + Send {
        let _ = (model, locked);
        async { Ok(Vec::new()) }
    }

    /// Inserts the row of a partition.
    fn add_partition(
        &mut self,
        partition: &ReadModelId,
        state: &ProjectionState,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (partition, state);
        async { Err(NO_STANDBY.into()) }
    }

    /// Removes the row of a partition.
    fn remove_partition(
        &mut self,
        partition: &ReadModelId,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = partition;
        async { Err(NO_STANDBY.into()) }
    }

    /// Removes the rows of all partitions. Default: does nothing.
    fn remove_partitions(
        &mut self,
        model: &ReadModelId,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = model;
        async { Ok(()) }
    }

    /// Pauses all partitions, or resumes all with `None`. Default: does nothing.
    fn pause_partitions(
        &mut self,
        model: &ReadModelId,
        pause: Option<&Pause>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (model, pause);
        async { Ok(()) }
    }

    /// Releases the lease if this worker has it. Default: does nothing.
    fn release_lease(&mut self, model: &ReadModelId) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = model;
        async { Ok(()) }
    }

    /// Commits the transaction.
    fn commit(self) -> impl Future<Output = Result<(), BoxError>> + Send;
}
