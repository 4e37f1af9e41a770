//! Queries of a projection's database that do not wait for its worker.

use std::sync::Arc;

use futures::FutureExt;

use super::running_projection::{Inspect, Inspecting};
use crate::database::{AuditRows, Database, LedgerRows};
use crate::projection_state::{AuditEntry, ParkedStream};
use crate::reactor::{Effect, EffectQuery};
use crate::read_model_id::Slot;
use crate::standby::Comparison;
use crate::worker::core::Core;
use crate::worker::side_by_side::estimate::Estimate;
use crate::worker::worker_status::WorkerStatus;

/// Reads a projection's database while its worker runs.
pub(super) struct Inspector<D: Database>(pub(super) Arc<Core<D>>);

impl<D: Database> Inspect for Inspector<D> {
    fn parked(&self, slot: Slot) -> Inspecting<Vec<ParkedStream>> {
        let core = if slot == Slot::Live { self.0.clone() } else { Arc::new(self.0.onto(slot)) };
        async move { Ok(core.parked().await?) }.boxed()
    }

    fn estimate(&self) -> Inspecting<Estimate> {
        let core = self.0.clone();
        async move {
            core.processor.require_read_model()?;
            Ok(core.estimate().await?)
        }
        .boxed()
    }

    fn verify(&self, progress: Arc<WorkerStatus>) -> Inspecting<Comparison> {
        let core = self.0.clone();
        async move {
            core.processor.require_read_model()?;
            core.verify_live(progress).await
        }
        .boxed()
    }

    fn effects(&self, wanted: EffectQuery) -> Inspecting<Vec<Effect>> {
        let core = self.0.clone();
        async move {
            let reader = core.clone();
            Ok(core
                .read(move |tx| async move { Ok(tx.effects(reader.id(), &wanted).await?) }.boxed())
                .await?)
        }
        .boxed()
    }

    fn audit(&self, limit: usize) -> Inspecting<Vec<AuditEntry>> {
        let core = self.0.clone();
        async move {
            let reader = core.clone();
            let read =
                core.read(move |tx| async move { Ok(tx.audit_entries(reader.id(), limit).await?) }.boxed());
            Ok(read.await?)
        }
        .boxed()
    }
}
