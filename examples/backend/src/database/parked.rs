//! What is parked.

use ees_projector::database::ParkedRows;
use ees_projector::{ChangesetRef, BoxError, ParkedStream};
use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};

use super::{Key, Tx, key, padded};

fn stream(name: &str, stream_id: &StreamId) -> Key {
    key(["parked stream", name, stream_id.as_str()])
}

fn place(name: &str, stream_id: &StreamId, checkpoint: Checkpoint) -> Key {
    key(["parked", name, stream_id.as_str(), &padded(checkpoint.get())])
}

impl Tx {
    /// The changesets of a stream that wait, in order.
    pub(super) fn waiting(
        &self,
        name: &str,
        stream_id: &StreamId,
    ) -> Result<Vec<(Checkpoint, ChangesetId)>, BoxError> {
        let places = self.list(&["parked", name, stream_id.as_str()])?;
        Ok(places.into_iter().map(|(_, place)| place).collect())
    }
}

impl ParkedRows for Tx {
    async fn park(
        &mut self,
        name: &str,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), BoxError> {
        let ChangesetRef { checkpoint, stream_id, changeset_id, .. } = changeset;
        self.put(place(name, stream_id, *checkpoint), &(checkpoint, changeset_id))?;
        let key = stream(name, stream_id);
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

    async fn parked(&mut self, name: &str) -> Result<Vec<ParkedStream>, BoxError> {
        let mut streams = Vec::new();
        for (_, stream) in self.list::<ParkedStream>(&["parked stream", name])? {
            let waiting = self.waiting(name, &stream.stream_id)?;
            if let Some((_, first)) = waiting.first() {
                streams.push(ParkedStream { first: *first, changesets: waiting.len() as u64, ..stream });
            }
        }
        streams.sort_by_key(|stream| stream.retry_at);
        Ok(streams)
    }

    async fn parked_places(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let waiting = self.waiting(name, stream_id)?;
        Ok(waiting.into_iter().take(limit).map(|(checkpoint, _)| checkpoint).collect())
    }

    async fn unpark(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let waiting = self.waiting(name, stream_id)?;
        if !waiting.iter().any(|(place, _)| *place == checkpoint) {
            return Ok(false);
        }
        self.remove(place(name, stream_id, checkpoint));
        if waiting.len() == 1 {
            self.remove(stream(name, stream_id));
        }
        Ok(true)
    }

    async fn update_parked(&mut self, name: &str, parked: &ParkedStream) -> Result<(), BoxError> {
        let key = stream(name, &parked.stream_id);
        if self.get::<ParkedStream>(&key)?.is_some() {
            self.put(key, parked)?;
        }
        Ok(())
    }

    async fn clear_parked(&mut self, name: &str) -> Result<(), BoxError> {
        for (_, parked) in self.list::<ParkedStream>(&["parked stream", name])? {
            for (checkpoint, _) in self.waiting(name, &parked.stream_id)? {
                self.remove(place(name, &parked.stream_id, checkpoint));
            }
            self.remove(stream(name, &parked.stream_id));
        }
        Ok(())
    }
}
