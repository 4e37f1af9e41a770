//! The projections' rows. Each is the item `control` in the partition `!NAME`. While several workers share a rebuild,
//! each of them has a row beside it: `worker/000` and so on.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use backon::Retryable;
use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use futures::future::try_join_all;

use super::item::{
    self, CHECKPOINT, EPOCH, Item, KEY, item_of, number, text, to_number, to_number_if, to_text,
};
use super::lease::{self, LEASE};
use super::parked::parking;
use super::row_key::{WORKER, home, row_of, worker_of};
use super::tx::{Condition, Tx};
use super::unprocessed;
use crate::database::{Lease, ParkedRows, PartitionRow, Transaction};
use crate::error::BoxError;
use crate::projection_state::{ChangesetRef, Pause, Position, ProjectionState};
use crate::read_model_id::ReadModelId;

/// The version of the projection that the read model is of.
const VERSION: &str = "version";
/// What it is in a row while segments are read. A program that does not know of segments would replay the log beside
/// them: it stops instead, as it does before every version that is newer than its own.
const NEWER: u32 = u32::MAX;
/// The version in such a row for programs that know of segments.
const SEGMENT_VERSION: &str = "segment_version";

impl Transaction for Tx {
    /// A plain read: a commit that goes on from it fails if it was not the newest. What goes with it is read in
    /// transactions.
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        let (home, key) = row_of(model);
        self.get_alone(&home, &key).await?.as_ref().map(to_state).transpose()
    }

    async fn insert(&mut self, model: &ReadModelId, state: &ProjectionState) -> Result<bool, BoxError> {
        if self.load(model).await?.is_some() {
            return Ok(false);
        }
        let (home, key) = row_of(model);
        self.stage_if(&home, &key, Some(of_state(state)?), Some(Condition::Absent))?;
        self.model = Some(model.clone());
        Ok(true)
    }

    /// Always returns `true`: only the commit checks the position, and fails if the row has moved.
    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> Result<bool, BoxError> {
        let (home, key) = row_of(model);
        self.stage_if(&home, &key, Some(of_state(state)?), Some(Condition::StandsAt(believed)))?;
        self.model = Some(model.clone());
        Ok(true)
    }

    /// Nothing can be locked. The commit fails if an operator's change or a swap has come between. A swap would
    /// hardly ever find the moment between two steps of a busy read model: so it raises the epoch, and the step that
    /// is under way loses.
    async fn lock(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        if self.fences_off {
            return self.database.fence_off(model).await?.as_ref().map(to_state).transpose();
        }
        let found = self.load(model).await?;
        if let Some(found) = &found {
            let (home, key) = row_of(model);
            self.expect(&home, &key, Condition::HasEpoch(found.position.epoch));
        }
        Ok(found)
    }

    async fn exchange(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
        _back: bool,
    ) -> Result<(), BoxError> {
        let names = [live, standby].map(|model| parking(model.name()));
        // All at once: meanwhile the live read model's worker reads its row again.
        let (of_live, of_standby, parked_live, parked_standby) = tokio::try_join!(
            async { Ok(self.database.tables(live).await?) },
            async { Ok(self.database.tables(standby).await?) },
            self.place(&names[0]),
            self.place(&names[1]),
        )?;
        self.exchange_tables((live, of_live), (standby, of_standby)).await?;
        self.record_place(&names[0], &parked_standby)?;
        self.record_place(&names[1], &parked_live)
    }

    async fn discard(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        if let Some(found) = self.load(model).await? {
            let (home, key) = row_of(model);
            self.stage_if(&home, &key, None, Some(Condition::StandsAt(found.position)))?;
        }
        self.remove_partitions(model).await?;
        self.discard_tables(model).await?;
        if self.parked(model).await?.is_empty() { Ok(()) } else { self.clear_parked(model).await }
    }

    /// Only those who share a rebuild have leases. Acquiring one does not raise the epoch: each of their steps does.
    async fn lease(&mut self, model: &ReadModelId, _version: u32, stays: bool) -> Result<Lease, BoxError> {
        match worker_of(model) {
            Some(_) => Ok(self.database.take_lease(model, stays).await?),
            None => Ok(Lease::NotNeeded),
        }
    }

    async fn release_lease(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        match worker_of(model) {
            Some(_) => Ok(self.database.give_lease_back(model).await?),
            None => Ok(()),
        }
    }

    /// `locked` raises the epoch of each row, because nothing can be locked: a busy worker moves its row with every step.
    /// The step that is under way loses, and the commit fails if the next one is faster.
    async fn partitions(&mut self, model: &ReadModelId, locked: bool) -> Result<Vec<PartitionRow>, BoxError> {
        let home = home(model.name());
        let mut rows: Vec<PartitionRow> = Vec::new();
        for item in self.query_between(&home, WORKER, None, usize::MAX, true).await? {
            let key = to_text(&item, KEY)?;
            if let Some(worker) = key.strip_prefix(WORKER).and_then(|key| key.strip_suffix(LEASE)) {
                let id = model.with_partition(worker.parse()?);
                if let Some(row) = rows.iter_mut().find(|row| row.id == id) {
                    row.owner = lease::owner(&item)?;
                }
                continue;
            }
            let id = model.with_partition(key.strip_prefix(WORKER).unwrap_or_default().parse()?);
            rows.push(PartitionRow { id, owner: None, state: to_state(&item)? });
        }
        if locked { self.fence_off(rows).await } else { Ok(rows) }
    }

    async fn add_partition(
        &mut self,
        partition: &ReadModelId,
        state: &ProjectionState,
    ) -> Result<(), BoxError> {
        let (home, key) = row_of(partition);
        self.stage(&home, &key, Some(of_state(state)?))
    }

    /// A lease ends by itself, or is given back.
    async fn remove_partition(&mut self, partition: &ReadModelId) -> Result<(), BoxError> {
        let (home, key) = row_of(partition);
        let condition = self.expected_of(&home, &key);
        self.stage_if(&home, &key, None, condition)
    }

    async fn remove_partitions(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        for row in self.partitions(model, false).await? {
            self.remove_partition(&row.id).await?;
        }
        Ok(())
    }

    async fn pause_partitions(&mut self, model: &ReadModelId, pause: Option<&Pause>) -> Result<(), BoxError> {
        for row in self.partitions(model, true).await? {
            let paused = row.state.moved(|state| state.pause = pause.cloned());
            self.replace(&row.id, row.state.position, &paused).await?;
        }
        Ok(())
    }

    fn write_units(&self) -> Option<u64> {
        Some(self.units())
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.write_all().await
    }
}

impl Tx {
    /// Raises the epochs of rows. Returns the rows as they are then; if another change comes first, the commit fails. All at
    /// once: one after the other, the workers of the first would overtake this before the last has its turn.
    async fn fence_off(&mut self, rows: Vec<PartitionRow>) -> Result<Vec<PartitionRow>, BoxError> {
        // What was expected first stays so: what somebody else has changed since must not get lost.
        let is_known = |row: &PartitionRow| {
            let (home, key) = row_of(&row.id);
            self.is_staged(&home, &key) || self.expected_of(&home, &key).is_some()
        };
        let (mut locked, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_known);
        let raised = try_join_all(others.iter().map(|row| self.database.fence_off(&row.id))).await?;
        for (row, item) in others.into_iter().zip(raised) {
            // Gone meanwhile: the row of the whole has moved as well, and the commit fails.
            let Some(item) = item else { continue };
            let state = to_state(&item)?;
            let (home, key) = row_of(&row.id);
            self.expect(&home, &key, Condition::HasEpoch(state.position.epoch));
            locked.push(PartitionRow { state, ..row });
        }
        locked.sort_by_cached_key(|row| row_of(&row.id));
        Ok(locked)
    }
}

impl super::Database {
    /// Raises the epoch of a row, wherever it is. Returns the row as it is then.
    async fn fence_off(&self, model: &ReadModelId) -> Result<Option<Item>, super::Error> {
        let (home, key) = row_of(model);
        let update = || async {
            let call = self.client.update_item().table_name(&*self.table);
            let call = call.set_key(Some(item::key(&home, &key)));
            let call =
                call.expression_attribute_names("#e", EPOCH).condition_expression("attribute_exists(#e)");
            let call = call.update_expression("SET #e = #e + :one");
            let call = call.expression_attribute_values(":one", number(1)).return_values(ReturnValue::AllNew);
            match Box::pin(call.send()).await {
                Ok(updated) => Ok(updated.attributes),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
                {
                    Ok(None)
                }
                Err(error) => Err(super::Error::of(error)),
            }
        };
        update.retry(unprocessed::pauses()).when(super::Error::passes).await
    }
}

fn of_state(state: &ProjectionState) -> Result<Item, BoxError> {
    let reads_segments = state.segment.is_some();
    let mut item = item_of([
        (VERSION, number(if reads_segments { NEWER } else { state.version })),
        (CHECKPOINT, number(state.position.next.get())),
        (EPOCH, number(state.position.epoch)),
    ]);
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    if let Some(log_id) = state.log_id {
        set("log_id", text(log_id.to_string()));
    }
    if let Some(last) = &state.last {
        set("last_checkpoint", number(last.checkpoint.get()));
        set("last_stream_id", text(last.stream_id.as_str()));
        set("last_changeset_id", number(last.changeset_id.get()));
        set("last_timestamp", number(last.timestamp.as_micros()));
    }
    if let Some(until) = state.rebuild_until {
        set("rebuild_until", number(until.get()));
    }
    if let Some(pause) = &state.pause {
        set("pause", text(serde_json::to_string(pause)?));
    }
    if let Some(split) = &state.split {
        set("split", text(serde_json::to_string(split)?));
    }
    if let Some(standby) = &state.standby {
        set("standby", text(serde_json::to_string(standby)?));
    }
    if let Some(skips) = state.skips_json()? {
        set("skips", text(skips));
    }
    if let Some(fingerprint) = state.fingerprint {
        set("fingerprint", text(fingerprint.to_string()));
    }
    if let Some(segment) = &state.segment {
        set("segment", text(serde_json::to_string(segment)?));
        set(SEGMENT_VERSION, number(state.version));
    }
    Ok(item)
}

/// The version of the projection that the read model is of.
pub(super) fn version(item: &Item) -> Result<u32, BoxError> {
    let known = to_number_if(item, SEGMENT_VERSION)?;
    Ok(known.map_or_else(|| to_number(item, VERSION), Ok)?)
}

fn to_state(item: &Item) -> Result<ProjectionState, BoxError> {
    let last = match to_number_if(item, "last_checkpoint")? {
        Some(checkpoint) => Some(ChangesetRef {
            checkpoint: Checkpoint::new(checkpoint),
            stream_id: StreamId::new(to_text(item, "last_stream_id")?)?,
            changeset_id: ChangesetId::new(to_number(item, "last_changeset_id")?),
            timestamp: Timestamp::from_micros(to_number(item, "last_timestamp")?),
        }),
        None => None,
    };
    let text_if = |name: &str| item.contains_key(name).then(|| to_text(item, name)).transpose();
    Ok(ProjectionState {
        version: version(item)?,
        position: Position { next: checkpoint(item)?, epoch: to_number(item, EPOCH)? },
        log_id: text_if("log_id")?.map(|id| id.parse().map(LogId)).transpose()?,
        last,
        rebuild_until: to_number_if(item, "rebuild_until")?.map(Checkpoint::new),
        pause: text_if("pause")?.map(serde_json::from_str).transpose()?,
        split: text_if("split")?.map(serde_json::from_str).transpose()?,
        standby: text_if("standby")?.map(serde_json::from_str).transpose()?,
        skips: ProjectionState::skips_of_json(text_if("skips")?)?,
        fingerprint: text_if("fingerprint")?.map(str::parse).transpose()?,
        segment: text_if("segment")?.map(serde_json::from_str).transpose()?,
    })
}

/// The checkpoint that a projection reads next, from its row.
pub(super) fn checkpoint(state: &Item) -> Result<Checkpoint, super::Error> {
    item::to_number(state, CHECKPOINT).map(Checkpoint::new)
}
