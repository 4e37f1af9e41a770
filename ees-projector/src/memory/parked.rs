//! Parked streams and their changesets.

use std::collections::BTreeMap;

use ees_store::{Checkpoint, StreamId, Timestamp};

use super::Tx;
use crate::database::ParkedRows;
use crate::error::BoxError;
use crate::projection_state::{ChangesetRef, ParkedStream};
use crate::read_model_id::ReadModelId;

#[derive(Clone)]
pub(super) struct Waiting {
    stream: ParkedStream,
    pub(super) checkpoints: BTreeMap<Checkpoint, ChangesetRef>,
}

impl ParkedRows for Tx {
    async fn park(
        &mut self,
        model: &ReadModelId,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), BoxError> {
        let parked = &mut self.lock_model(model).await?.parked;
        let waiting = parked.entry(changeset.stream_id.clone()).or_insert_with(|| Waiting {
            stream: ParkedStream {
                stream_id: changeset.stream_id.clone(),
                first: changeset.changeset_id,
                changesets: 0,
                attempts: 1,
                error: error.to_owned(),
                since: Timestamp::now(),
                retry_at,
            },
            checkpoints: BTreeMap::new(),
        });
        waiting.checkpoints.insert(changeset.checkpoint, changeset.clone());
        Ok(())
    }

    async fn parked(&mut self, model: &ReadModelId) -> Result<Vec<ParkedStream>, BoxError> {
        let part = self.look(model).await?;
        let mut streams: Vec<_> = part
            .parked
            .values()
            .filter_map(|waiting| {
                let first = waiting.checkpoints.values().next()?.changeset_id;
                Some(ParkedStream {
                    first,
                    changesets: waiting.checkpoints.len() as u64,
                    ..waiting.stream.clone()
                })
            })
            .collect();
        streams.sort_by_key(|stream| ParkedStream::due_micros(stream.retry_at));
        Ok(streams)
    }

    async fn parked_checkpoints(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let part = self.look(model).await?;
        let waiting = part.parked.get(stream_id);
        Ok(waiting
            .map(|waiting| waiting.checkpoints.keys().take(limit).copied().collect())
            .unwrap_or_default())
    }

    async fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let parked = &mut self.lock_model(model).await?.parked;
        let Some(waiting) = parked.get_mut(stream_id) else { return Ok(false) };
        let there = waiting.checkpoints.remove(&checkpoint).is_some();
        if waiting.checkpoints.is_empty() {
            parked.remove(stream_id);
        }
        Ok(there)
    }

    async fn update_parked(&mut self, model: &ReadModelId, stream: &ParkedStream) -> Result<(), BoxError> {
        if let Some(waiting) = self.lock_model(model).await?.parked.get_mut(&stream.stream_id) {
            waiting.stream = stream.clone();
        }
        Ok(())
    }

    async fn clear_parked(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        self.lock_model(model).await?.parked.clear();
        Ok(())
    }
}
