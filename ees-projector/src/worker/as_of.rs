//! Builds a read model as it was at a checkpoint, in a place of its own: a run of the same projection that ends there.
//!
//! Its row is in the copy, so it goes on after a crash. The first entry of the copy's audit says what it is a copy of.

use std::collections::HashMap;
use std::sync::Arc;

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::as_of::{AsOf, Built};
use crate::database::{AuditRows, Database, ParkedRows, Transaction};
use crate::error::{BoxError, chain};
use crate::projection_state::{AuditEntry, ProjectionState, Skipped};
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::initialize::setup;
use crate::worker::operations::operation::OperateError;
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;
use crate::worker::worker_status::WorkerStatus;

/// The action in the audit of a copy.
const ACTION: &str = "as_of";
/// The most parked streams of a read model that is copied.
const PARKED_MAX: usize = 100;
/// Entries of the audit of a copy that are read: its first one, and one for each time that columns were added.
const AUDIT_MAX: usize = 100;
const NO_COPIES: OperateError = OperateError::NotSupported(
    "this read-model database can't keep a copy beside a read model: PostgreSQL keeps it in a schema, and SQLite in a \
     file",
);

/// What a copy or a preview leaves out, as the live read model does.
pub(super) struct LeftOut {
    /// The row of the live read model.
    pub(super) live: ProjectionState,
    skips: Vec<Skipped>,
    pub(super) parked: HashMap<StreamId, ChangesetId>,
}

impl<D: Database> Core<D> {
    /// Builds the copy, or goes on with it, until it is complete or `stop`.
    pub(crate) async fn build_as_of(
        self: Arc<Self>,
        AsOf { checkpoint, into }: AsOf,
        status: Arc<WorkerStatus>,
        stop: CancellationToken,
    ) -> Result<Built, OperateError> {
        self.processor.require_read_model()?;
        if !D::COPIES {
            return Err(NO_COPIES);
        }
        let LeftOut { live, skips, parked } = self.left_out().await?;
        if live.version != self.processor.version() {
            return Err(OperateError::Absent);
        }
        let head = self.verified_head([&live]).await?;
        if checkpoint > head.checkpoint {
            return Err(OperateError::PastHead { head: head.checkpoint });
        }
        let origin = self.origin(checkpoint, &parked)?;
        let (database, id) =
            self.database.copy_of(self.id(), &into, true).await.map_err(|error| refused(&error))?;
        let copy = Arc::new(self.copy(database, id, parked));
        copy.begin_copy(checkpoint, skips, origin).await?;
        let mut runner = Runner::new(copy, status).stopped_by(stop.clone());
        loop {
            if stop.is_cancelled() {
                return Ok(Built::Cancelled);
            }
            match runner.apply_until(checkpoint).await {
                Ok(built) => return Ok(built),
                Err(error @ (StepError::Log(_) | StepError::Database(_))) => {
                    let pause = runner.fail(error).await;
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes a copy of this read model.
    pub(crate) async fn drop_as_of(self: Arc<Self>, into: String) -> Result<(), OperateError> {
        if !D::COPIES {
            return Err(NO_COPIES);
        }
        let (database, id) =
            self.database.copy_of(self.id(), &into, false).await.map_err(|error| refused(&error))?;
        let copy = Arc::new(self.copy(database, id, HashMap::new()));
        let read = copy.clone();
        let origin = copy.read(move |tx| {
            async move {
                match tx.load(read.id()).await? {
                    Some(_) => origin_of(&read, tx).await,
                    None => Ok(None),
                }
            }
            .boxed()
        });
        let origin = origin.await?;
        if !origin.is_some_and(|origin| origin.starts_with(&format!("{} at checkpoint ", self.name()))) {
            let name = self.name();
            return Err(OperateError::Failed(format!("\"{into}\" is not a copy of \"{name}\" as it was")));
        }
        let id = copy.id().clone();
        let database = Arc::into_inner(copy).and_then(|copy| Arc::into_inner(copy.database));
        let database = database.ok_or(OperateError::Overtaken)?;
        database.remove_copy(&id).await.map_err(|error| refused(&error))
    }

    /// Returns what is left out of the live read model.
    pub(super) async fn left_out(self: &Arc<Self>) -> Result<LeftOut, OperateError> {
        let core = self.clone();
        let read = self.read(move |tx| {
            async move {
                let Some(mut state) = tx.lock(core.id()).await? else { return Ok(None) };
                core.know_skips(tx, &mut state).await?;
                let parked = tx.parked(core.id()).await?;
                let parked = parked.into_iter().map(|stream| (stream.stream_id, stream.first)).collect();
                Ok(Some(LeftOut { skips: state.skips.clone(), live: state, parked }))
            }
            .boxed()
        });
        read.await?.ok_or(OperateError::NeverStarted)
    }

    /// Describes the copy. The same description means the same rows.
    fn origin(
        &self,
        checkpoint: Checkpoint,
        parked: &HashMap<StreamId, ChangesetId>,
    ) -> Result<String, OperateError> {
        if parked.len() > PARKED_MAX {
            let why =
                format!("more than {PARKED_MAX} streams are parked: retry or skip their changesets first");
            return Err(OperateError::Failed(why));
        }
        let mut parked: Vec<_> =
            parked.iter().map(|(stream, first)| format!("{stream} from changeset {first} on")).collect();
        parked.sort_unstable();
        let without =
            if parked.is_empty() { String::new() } else { format!(", without {}", parked.join(", ")) };
        Ok(format!("{} at checkpoint {checkpoint}{without}", self.name()))
    }

    /// Creates the tables and the row of the copy, unless it was begun before.
    async fn begin_copy(
        self: &Arc<Self>,
        until: Checkpoint,
        skips: Vec<Skipped>,
        origin: String,
    ) -> Result<(), OperateError> {
        let core = self.clone();
        let begun = self.write(move |tx| {
            async move {
                let version = core.processor.version();
                if let Some(found) = tx.load(core.id()).await? {
                    let known = origin_of(&core, tx).await?;
                    let is_same = known.as_ref() == Some(&origin) && found.version == version;
                    let other = known.unwrap_or_else(|| "something else".to_owned());
                    let refuse = || {
                        StepError::Setup(format!(
                            "it has {other} (version {}), not {origin} (version {version}): choose another name, or \
                             drop it (`--drop`)",
                            found.version
                        ))
                    };
                    return if is_same { Ok(()) } else { Err(refuse()) };
                }
                let rebuild_until = Some(until).filter(|until| *until > Checkpoint::START);
                let fingerprint = core.fingerprint_of_nothing();
                let state =
                    ProjectionState { rebuild_until, skips, fingerprint, ..ProjectionState::new(version) };
                if !tx.insert(core.id(), &state).await.map_err(setup::<D>)? {
                    return Err(StepError::Fenced);
                }
                core.create_tables(tx).await?;
                let entry = AuditEntry {
                    at: Timestamp::now(),
                    action: ACTION.to_owned(),
                    reason: String::new(),
                    checkpoint: Checkpoint::START,
                    detail: origin,
                };
                tx.audit(core.id(), &entry).await?;
                Ok(())
            }
            .boxed()
        });
        Ok(begun.await?)
    }
}

impl<D: Database> Core<D> {
    /// Refuses a read model that is a copy of another one as it was: a projection that has the name of the copy would
    /// go on with rows that are not its own.
    pub(crate) async fn require_no_copy(&self, tx: &mut D::Tx) -> Result<(), StepError> {
        let origin = origin_of(self, tx).await?;
        // The core of the copy itself has the name of the copy.
        let own = format!("{} at checkpoint ", self.processor.name());
        match origin.filter(|origin| !origin.starts_with(&own)) {
            Some(origin) => Err(StepError::Setup(format!(
                "\"{}\" is a copy: {origin}. Drop it (`ees projections at NAME --into {} --drop`), or give the \
                 projection another name",
                self.name(),
                self.name()
            ))),
            None => Ok(()),
        }
    }
}

/// Returns what the read model is a copy of, if it is one. The caller has found its row.
async fn origin_of<D: Database>(core: &Core<D>, tx: &mut D::Tx) -> Result<Option<String>, StepError> {
    let entries = tx.audit_entries(core.id(), AUDIT_MAX).await?;
    Ok(entries.into_iter().find(|entry| entry.action == ACTION).map(|entry| entry.detail))
}

fn refused(error: &BoxError) -> OperateError {
    OperateError::Failed(chain(&**error))
}

impl<D: Database> Runner<D> {
    /// Applies everything before a checkpoint, unless it is to stop.
    async fn apply_until(&mut self, end: Checkpoint) -> Result<Built, StepError> {
        let state = self.load().await?;
        self.core.verified_head([&state]).await?;
        loop {
            let state = self.load().await?;
            if state.position.next >= end {
                return Ok(Built::Complete);
            }
            if self.stop.is_cancelled() {
                return Ok(Built::Cancelled);
            }
            let changesets = self.core.settings.batch_changesets_max.max(1);
            let batch = self.core.fetch_known_until(state.position.next, end, changesets).await?;
            if self.process(batch).await? != Stepped::Moved {
                return Err(StepError::Setup(format!("the log ends before checkpoint {end}")));
            }
        }
    }
}
