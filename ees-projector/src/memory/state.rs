//! The projections' rows.

use std::sync::Arc;

use super::Tx;
use super::tables;
use crate::database::{Lease, ParkedRows, PartitionRow, Transaction};
use crate::error::BoxError;
use crate::projection_state::{Pause, Position, ProjectionState};
use crate::read_model_id::ReadModelId;
use crate::standby::Comparison;

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        Ok(self.look(model).await?.projections.get(model.key()).cloned())
    }

    async fn lock(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        Ok(self.lock_model(model).await?.projections.get(model.key()).cloned())
    }

    async fn insert(&mut self, model: &ReadModelId, row: &ProjectionState) -> Result<bool, BoxError> {
        self.entered = Some(model.clone());
        let rows = &mut self.lock_model(model).await?.projections;
        let is_new = !rows.contains_key(model.key());
        if is_new {
            rows.insert(model.key().to_owned(), row.clone());
        }
        Ok(is_new)
    }

    /// From here on the tables are those of the read model.
    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        row: &ProjectionState,
    ) -> Result<bool, BoxError> {
        self.entered = Some(model.clone());
        let worker = self.database.worker.clone();
        let part = self.lock_model(model).await?;
        match part.projections.get_mut(model.key()) {
            Some(stored) if stored.position == believed => {
                *stored = row.clone();
                part.leases.renew(model.key(), &worker);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn lease(&mut self, model: &ReadModelId, version: u32, stays: bool) -> Result<Lease, BoxError> {
        self.call().await?;
        if self.database.listener.is_some() {
            // What listens is in this process, and so is every worker.
            return Ok(Lease::NotNeeded);
        }
        let database = self.database.clone();
        if !self.held.has(model.name()) {
            if !database.shared.locks.try_lock(&self.held, model.name()) {
                return Ok(Lease::Busy);
            }
            self.see(model);
        }
        let part = self.content.of_mut(model.name());
        let Some(row) = part.projections.get_mut(model.key()) else { return Ok(Lease::Busy) };
        let told = part.leases.take_turns(model.key(), &database.worker, version, stays);
        // So the fence refuses what the worker still writes that had the lease before.
        row.position.epoch += u64::from(told.is_new);
        Ok(told.lease)
    }

    async fn release_lease(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        let worker = self.database.worker.clone();
        self.lock_model(model).await?.leases.leave(model.key(), &worker);
        Ok(())
    }

    async fn snapshot(&mut self) -> Result<(), BoxError> {
        self.call().await?;
        self.content = self.database.shared.committed().clone();
        self.is_snapshot = true;
        Ok(())
    }

    async fn compare(&mut self, one: &ReadModelId, other: &ReadModelId) -> Result<Comparison, BoxError> {
        Ok(tables::compare(&self.look(one).await?.tables, &self.look(other).await?.tables))
    }

    async fn exchange(&mut self, live: &ReadModelId, standby: &ReadModelId, _: bool) -> Result<(), BoxError> {
        self.lock_model(live).await?;
        self.lock_model(standby).await?;
        let [mut one, mut other] = [live, standby].map(|model| self.content.of(model.name()));
        let (serves, follows) = (Arc::make_mut(&mut one), Arc::make_mut(&mut other));
        std::mem::swap(&mut serves.tables, &mut follows.tables);
        std::mem::swap(&mut serves.parked, &mut follows.parked);
        // A worker that had the lease of one read model may not be able to run the other.
        serves.leases.end();
        follows.leases.end();
        self.content.set(live.name(), one);
        self.content.set(standby.name(), other);
        Ok(())
    }

    async fn discard(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        let part = self.lock_model(model).await?;
        part.projections.clear();
        part.tables.clear();
        part.leases.forget(|_| true);
        self.clear_parked(model).await
    }

    async fn partitions(&mut self, model: &ReadModelId, locked: bool) -> Result<Vec<PartitionRow>, BoxError> {
        if locked {
            self.lock_model(model).await?;
        }
        let part = self.look(model).await?;
        let partition = |index| {
            let id = model.with_partition(index);
            let state = part.projections.get(id.key())?.clone();
            let owner = part.leases.owner(id.key()).map(str::to_owned);
            Some(PartitionRow { id, owner, state })
        };
        Ok((0..).map_while(partition).collect())
    }

    async fn add_partition(&mut self, id: &ReadModelId, state: &ProjectionState) -> Result<(), BoxError> {
        self.lock_model(id).await?.projections.insert(id.key().to_owned(), state.clone());
        Ok(())
    }

    async fn remove_partition(&mut self, id: &ReadModelId) -> Result<(), BoxError> {
        let part = self.lock_model(id).await?;
        part.projections.remove(id.key());
        part.leases.forget(|key| key == id.key());
        Ok(())
    }

    async fn remove_partitions(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        let part = self.lock_model(model).await?;
        part.projections.retain(|key, _| key == model.name());
        part.leases.forget(|key| key != model.name());
        Ok(())
    }

    async fn pause_partitions(&mut self, model: &ReadModelId, pause: Option<&Pause>) -> Result<(), BoxError> {
        let rows = self.lock_model(model).await?.projections.iter_mut();
        for (_, row) in rows.filter(|(key, _)| *key != model.name()) {
            row.pause = pause.cloned();
            row.position.epoch += 1;
        }
        Ok(())
    }

    async fn commit(mut self) -> Result<(), BoxError> {
        self.call().await?;
        let Self { held, content, database, written, beside, .. } = self;
        held.end(|models| {
            let mut committed = database.shared.committed();
            for model in &written {
                committed.of_mut(model).tables = content.of(model).tables.clone();
            }
            for model in &models {
                committed.set(model, content.of(model));
            }
            if let (Some(listener), [model, ..]) = (&database.listener, &*models) {
                listener.committed(&content.of(model).projections, beside);
            }
        })?;
        if let Some(network) = &database.network {
            network.answer().await?;
        }
        Ok(())
    }
}
