//! The projections' rows. Each is the item `control` in the partition `!NAME`.

use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};

use super::item::{self, CHECKPOINT, EPOCH, Item, item_of, number, text, to_number, to_number_if, to_text};
use super::tx::{Condition, Tx};
use crate::database::Transaction;
use crate::error::BoxError;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::read_model_id::ReadModelId;

/// The key of a projection's row.
pub(super) const STATE: &str = "control";

/// The partition of a projection's row. No table's partition begins with `!`.
pub(super) fn home(name: &str) -> String {
    format!("!{name}")
}

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        self.get(&home(model.key()), STATE).await?.as_ref().map(to_state).transpose()
    }

    async fn insert(&mut self, model: &ReadModelId, state: &ProjectionState) -> Result<bool, BoxError> {
        if self.load(model).await?.is_some() {
            return Ok(false);
        }
        self.stage_if(&home(model.key()), STATE, Some(of_state(state)?), Some(Condition::Absent))?;
        Ok(true)
    }

    /// Always returns `true`: only the commit checks the position, and fails if the row has moved.
    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> Result<bool, BoxError> {
        let condition = Some(Condition::StandsAt(believed));
        self.stage_if(&home(model.key()), STATE, Some(of_state(state)?), condition)?;
        Ok(true)
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.write_all().await
    }
}

fn of_state(state: &ProjectionState) -> Result<Item, BoxError> {
    let mut item = item_of([
        ("version", number(state.version)),
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
    if let Some(skips) = state.skips_json()? {
        set("skips", text(skips));
    }
    if let Some(fingerprint) = state.fingerprint {
        set("fingerprint", text(fingerprint.to_string()));
    }
    Ok(item)
}

/// The version of the projection that the read model is of.
pub(super) fn version(item: &Item) -> Result<u32, BoxError> {
    Ok(to_number(item, "version")?)
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
        split: None,
        standby: None,
        skips: ProjectionState::skips_of_json(text_if("skips")?)?,
        fingerprint: text_if("fingerprint")?.map(str::parse).transpose()?,
    })
}

/// The checkpoint that a projection reads next, from its row.
pub(super) fn checkpoint(state: &Item) -> Result<Checkpoint, super::Error> {
    item::to_number(state, CHECKPOINT).map(Checkpoint::new)
}
