//! What is parked.

use ees_projector::database::ParkedRows;
use ees_projector::{BoxError, ChangesetRef, ParkedStream, ReadModelId};
use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};

use super::{Key, Tx, key, padded};

fn stream(name: &str, stream_id: &StreamId) -> Key {
    key(["parked stream", name, stream_id.as_str()])
}

fn key_of(name: &str, stream_id: &StreamId, checkpoint: Checkpoint) -> Key {
    key(["parked", name, stream_id.as_str(), &padded(checkpoint.get())])
}

impl Tx {
    /// The changesets of a stream that wait, in order.
    pub(super) fn waiting(
        &self,
        name: &str,
        stream_id: &StreamId,
    ) -> Result<Vec<(Checkpoint, ChangesetId)>, BoxError> {
        let checkpoints = self.list(&["parked", name, stream_id.as_str()])?;
        Ok(checkpoints.into_iter().map(|(_, checkpoint)| checkpoint).collect())
    }
}

impl ParkedRows for Tx {
    async fn park(
        &mut self,
        model: &ReadModelId,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), BoxError> {
        let ChangesetRef { checkpoint, stream_id, changeset_id, .. } = changeset;
        self.put(key_of(model.name(), stream_id, *checkpoint), &(checkpoint, changeset_id))?;
        let key = stream(model.name(), stream_id);
        if self.get::<ParkedStream>(&key)?.is_some() {
            return Ok(());
        }
        let first = ParkedStream {
            stream_id: stream_id.clone(),
            first: *changeset_id,
            changesets: 1,
            attempts: 1,
            error: error.to_owned(),
            since: Timestamp::now(),
            retry_at,
        };
        self.put(key, &first)
    }

    async fn parked(&mut self, model: &ReadModelId) -> Result<Vec<ParkedStream>, BoxError> {
        let mut streams = Vec::new();
        for (_, stream) in self.list::<ParkedStream>(&["parked stream", model.name()])? {
            let waiting = self.waiting(model.name(), &stream.stream_id)?;
            if let Some((_, first)) = waiting.first() {
                streams.push(ParkedStream { first: *first, changesets: waiting.len() as u64, ..stream });
            }
        }
        streams.sort_by_key(|stream| ParkedStream::due_micros(stream.retry_at));
        Ok(streams)
    }

    async fn parked_checkpoints(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let waiting = self.waiting(model.name(), stream_id)?;
        Ok(waiting.into_iter().take(limit).map(|(checkpoint, _)| checkpoint).collect())
    }

    async fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let waiting = self.waiting(model.name(), stream_id)?;
        if !waiting.iter().any(|(parked, _)| *parked == checkpoint) {
            return Ok(false);
        }
        self.remove(key_of(model.name(), stream_id, checkpoint));
        if waiting.len() == 1 {
            self.remove(stream(model.name(), stream_id));
        }
        Ok(true)
    }

    async fn update_parked(&mut self, model: &ReadModelId, parked: &ParkedStream) -> Result<(), BoxError> {
        let key = stream(model.name(), &parked.stream_id);
        if self.get::<ParkedStream>(&key)?.is_some() {
            self.put(key, parked)?;
        }
        Ok(())
    }

    async fn clear_parked(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        for (_, parked) in self.list::<ParkedStream>(&["parked stream", model.name()])? {
            for (checkpoint, _) in self.waiting(model.name(), &parked.stream_id)? {
                self.remove(key_of(model.name(), &parked.stream_id, checkpoint));
            }
            self.remove(stream(model.name(), &parked.stream_id));
        }
        Ok(())
    }
}
