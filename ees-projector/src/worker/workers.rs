//! The workers of one projection or reactor, as its host sees them: without the types of its database.

use std::sync::Arc;

#[cfg(feature = "http")]
use ees_store::Connections;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::as_of::{AsOf, Built};
use crate::database::{AuditRows, Database, LedgerRows, TimerRows};
use crate::explanation::{Explain, Explanation};
use crate::fingerprint::FingerprintCheck;
use crate::preview::{Preview, PreviewOptions, WriteUnits};
use crate::projection_state::{AuditEntry, ParkedStream};
use crate::reactor::{Effect, EffectQuery, Timer, TimerQuery};
use crate::read_model_id::Slot;
use crate::rebuilt_streams::RebuildStreams;
use crate::standby::Comparison;
use crate::status::Kind;
use crate::worker::core::Core;
use crate::worker::explain::progress::Progress;
use crate::worker::on_demand::{OnDemandRunners, OnDemandWorker};
use crate::worker::operations::operation::{OperateError, Operation};
use crate::worker::runner::Runner;
use crate::worker::side_by_side::estimate::Estimate;
use crate::worker::stream_rebuild::StreamRebuild;
use crate::worker::worker_status::WorkerStatus;

/// The answer of a query that does not wait for the worker.
pub(crate) type Answer<T> = BoxFuture<'static, Result<T, OperateError>>;

/// Runs the workers of one projection or reactor, and reads its database while they run.
pub(crate) trait Workers: Send + Sync {
    /// Returns `true` if it can have a standby.
    fn has_standby(&self) -> bool;
    /// Runs the worker of a slot until `stop`.
    fn run(
        &self,
        slot: Slot,
        status: Arc<WorkerStatus>,
        operations: mpsc::Receiver<Operation>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()>;
    /// Lets a worker of a slot carry out what operators ask for, and nothing else, as long as somebody can ask.
    fn attend(
        &self,
        slot: Slot,
        status: Arc<WorkerStatus>,
        operations: mpsc::Receiver<Operation>,
    ) -> BoxFuture<'static, ()>;
    /// Creates a worker for a host that does not stay.
    fn on_demand(&self) -> Box<dyn OnDemandWorker>;
    fn parked(&self, slot: Slot) -> Answer<Vec<ParkedStream>>;
    fn audit(&self, slot: Slot, limit: usize) -> Answer<Vec<AuditEntry>>;
    fn effects(&self, wanted: EffectQuery) -> Answer<Vec<Effect>>;
    fn timers(&self, wanted: TimerQuery) -> Answer<Vec<Timer>>;
    fn verify(&self, progress: Arc<WorkerStatus>) -> Answer<Comparison>;
    fn check_fingerprint(&self, slot: Slot) -> Answer<FingerprintCheck>;
    fn estimate(&self) -> Answer<Estimate>;
    fn explain(&self, slot: Slot, wanted: Explain, progress: Arc<Progress>) -> Answer<Explanation>;
    /// Replays streams for a rebuild of their rows, which the worker finishes.
    fn prepare_stream_rebuild(&self, slot: Slot, wanted: RebuildStreams) -> Answer<StreamRebuild>;
    fn as_of(&self, wanted: AsOf, progress: Arc<WorkerStatus>, stop: CancellationToken) -> Answer<Built>;
    fn drop_as_of(&self, into: String) -> Answer<()>;
    fn write_units(&self) -> Answer<WriteUnits>;
    fn preview(
        &self,
        wanted: PreviewOptions,
        progress: Arc<WorkerStatus>,
        stop: CancellationToken,
    ) -> Answer<Preview>;
    /// Returns the connections to its database at this moment.
    #[cfg(feature = "http")]
    fn connections(&self) -> Option<Connections>;
}

/// Returns the workers of a core.
pub(crate) fn workers<D: Database>(core: Core<D>) -> Arc<dyn Workers> {
    Arc::new(WorkersOf(Arc::new(core)))
}

struct WorkersOf<D: Database>(Arc<Core<D>>);

impl<D: Database> WorkersOf<D> {
    fn core(&self, slot: Slot) -> Arc<Core<D>> {
        if slot == self.0.slot() { self.0.clone() } else { Arc::new(self.0.onto(slot)) }
    }
}

impl<D: Database> Workers for WorkersOf<D> {
    fn has_standby(&self) -> bool {
        // A reactor has no read model, and so no standby.
        D::SIDE_BY_SIDE && self.0.processor.require_read_model().is_ok()
    }

    fn run(
        &self,
        slot: Slot,
        status: Arc<WorkerStatus>,
        operations: mpsc::Receiver<Operation>,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Runner::new(self.core(slot), status).run(operations, stop).boxed()
    }

    fn attend(
        &self,
        slot: Slot,
        status: Arc<WorkerStatus>,
        operations: mpsc::Receiver<Operation>,
    ) -> BoxFuture<'static, ()> {
        Runner::new(self.core(slot), status).attend(operations).boxed()
    }

    fn on_demand(&self) -> Box<dyn OnDemandWorker> {
        let standby = self.has_standby().then(|| self.core(Slot::Standby));
        Box::new(OnDemandRunners::new(self.0.clone(), standby))
    }

    fn parked(&self, slot: Slot) -> Answer<Vec<ParkedStream>> {
        let core = self.core(slot);
        async move { Ok(core.parked().await?) }.boxed()
    }

    fn audit(&self, slot: Slot, limit: usize) -> Answer<Vec<AuditEntry>> {
        let core = self.core(slot);
        async move {
            let reader = core.clone();
            let read =
                core.read(move |tx| async move { Ok(tx.audit_entries(reader.id(), limit).await?) }.boxed());
            Ok(read.await?)
        }
        .boxed()
    }

    fn effects(&self, wanted: EffectQuery) -> Answer<Vec<Effect>> {
        let core = self.0.clone();
        async move {
            let reader = core.clone();
            let read =
                core.read(move |tx| async move { Ok(tx.effects(reader.id(), &wanted).await?) }.boxed());
            Ok(read.await?)
        }
        .boxed()
    }

    fn timers(&self, wanted: TimerQuery) -> Answer<Vec<Timer>> {
        let core = self.0.clone();
        async move {
            let reader = core.clone();
            let read = core.read(move |tx| async move { Ok(tx.timers(reader.id(), &wanted).await?) }.boxed());
            Ok(read.await?)
        }
        .boxed()
    }

    fn verify(&self, progress: Arc<WorkerStatus>) -> Answer<Comparison> {
        let core = self.0.clone();
        async move {
            core.processor.require_read_model()?;
            core.verify_live(progress).await
        }
        .boxed()
    }

    fn check_fingerprint(&self, slot: Slot) -> Answer<FingerprintCheck> {
        self.core(slot).check_fingerprint().boxed()
    }

    fn estimate(&self) -> Answer<Estimate> {
        let core = self.0.clone();
        async move {
            core.processor.require_read_model()?;
            Ok(core.estimate().await?)
        }
        .boxed()
    }

    fn explain(&self, slot: Slot, wanted: Explain, progress: Arc<Progress>) -> Answer<Explanation> {
        self.core(slot).explain(wanted, progress).boxed()
    }

    fn prepare_stream_rebuild(&self, slot: Slot, wanted: RebuildStreams) -> Answer<StreamRebuild> {
        self.core(slot).prepare_stream_rebuild(wanted).boxed()
    }

    fn as_of(&self, wanted: AsOf, progress: Arc<WorkerStatus>, stop: CancellationToken) -> Answer<Built> {
        self.0.clone().build_as_of(wanted, progress, stop).boxed()
    }

    fn drop_as_of(&self, into: String) -> Answer<()> {
        self.0.clone().drop_as_of(into).boxed()
    }

    fn write_units(&self) -> Answer<WriteUnits> {
        self.0.clone().write_units().boxed()
    }

    fn preview(
        &self,
        wanted: PreviewOptions,
        progress: Arc<WorkerStatus>,
        stop: CancellationToken,
    ) -> Answer<Preview> {
        let core = self.0.clone();
        match core.processor.kind() {
            Kind::Projection => core.preview_rows(wanted, progress, stop).map_ok(Preview::Projection).boxed(),
            Kind::Reactor => core.preview_effects(wanted, progress, stop).map_ok(Preview::Reactor).boxed(),
        }
    }

    #[cfg(feature = "http")]
    fn connections(&self) -> Option<Connections> {
        self.0.database.connections()
    }
}
