//! Parked streams and their changesets. A stream is an item of a table that belongs to the projection; each
//! of its changesets is an item of a partition that belongs to the stream.

use ees_store::{ChangesetId, Checkpoint, StreamId, Timestamp};

use super::item::{KEY, item_of, number, text, to_number, to_text};
use super::tx::Tx;
use crate::database::ParkedRows;
use crate::error::BoxError;
use crate::projection_state::{ChangesetRef, ParkedStream};
use crate::read_model_id::ReadModelId;

/// The table of a projection's parked streams. Its partition is recorded, as those of folds' tables are.
pub(super) fn parking(name: &str) -> String {
    format!("{name}/parked")
}

/// The partition of a parked stream's changesets.
fn waiting_room(parked: &str, stream_id: &StreamId) -> String {
    format!("{parked}/{stream_id}")
}

fn of_checkpoint(checkpoint: Checkpoint) -> String {
    format!("{:020}", checkpoint.get())
}

impl ParkedRows for Tx {
    async fn park(
        &mut self,
        model: &ReadModelId,
        changeset: &ChangesetRef,
        error: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), BoxError> {
        let parked = self.place(&parking(model.name())).await?;
        let stream_id = changeset.stream_id.as_str();
        let room = waiting_room(&parked, &changeset.stream_id);
        let key = of_checkpoint(changeset.checkpoint);
        if self.get(&room, &key).await?.is_some() {
            return Ok(());
        }
        let stream = match self.get(&parked, stream_id).await? {
            Some(mut stream) => {
                let changesets: u64 = to_number(&stream, "changesets")?;
                stream.insert("changesets".to_owned(), number(changesets + 1));
                // An operator may have moved the checkpoint back before the first parked changeset.
                let first: u64 = to_number(&stream, "first")?;
                stream.insert("first".to_owned(), number(first.min(changeset.changeset_id.get())));
                stream
            }
            None => item_of([
                ("first", number(changeset.changeset_id.get())),
                ("changesets", number(1)),
                ("attempts", number(1)),
                ("error", text(error)),
                ("since", number(Timestamp::now().as_micros())),
                ("retry_at", number(ParkedStream::due_micros(retry_at))),
            ]),
        };
        self.stage(&parked, stream_id, Some(stream))?;
        let waiting = item_of([("changeset_id", number(changeset.changeset_id.get()))]);
        self.stage(&room, &key, Some(waiting))
    }

    async fn parked(&mut self, model: &ReadModelId) -> Result<Vec<ParkedStream>, BoxError> {
        let parked = self.place(&parking(model.name())).await?;
        let mut streams = Vec::new();
        for stream in self.query(&parked, usize::MAX).await? {
            streams.push(ParkedStream {
                stream_id: StreamId::new(to_text(&stream, KEY)?)?,
                first: ChangesetId::new(to_number(&stream, "first")?),
                changesets: to_number(&stream, "changesets")?,
                attempts: to_number(&stream, "attempts")?,
                error: to_text(&stream, "error")?.to_owned(),
                since: Timestamp::from_micros(to_number(&stream, "since")?),
                retry_at: ParkedStream::due_at(to_number(&stream, "retry_at")?),
            });
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
        let room = waiting_room(&self.place(&parking(model.name())).await?, stream_id);
        let waiting = self.query(&room, limit).await?;
        waiting.iter().map(|item| Ok(Checkpoint::new(to_text(item, KEY)?.parse()?))).collect()
    }

    async fn unpark(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let parked = self.place(&parking(model.name())).await?;
        let room = waiting_room(&parked, stream_id);
        let key = of_checkpoint(checkpoint);
        if self.get(&room, &key).await?.is_none() {
            return Ok(false);
        }
        self.stage(&room, &key, None)?;
        let next = self.query(&room, 1).await?;
        let stream = match (self.get(&parked, stream_id.as_str()).await?, next.first()) {
            (Some(mut stream), Some(next)) => {
                let changesets: u64 = to_number(&stream, "changesets")?;
                stream.insert("changesets".to_owned(), number(changesets.saturating_sub(1)));
                stream.insert("first".to_owned(), number(to_number::<u64>(next, "changeset_id")?));
                Some(stream)
            }
            _ => None,
        };
        self.stage(&parked, stream_id.as_str(), stream)?;
        Ok(true)
    }

    async fn update_parked(&mut self, model: &ReadModelId, stream: &ParkedStream) -> Result<(), BoxError> {
        let parked = self.place(&parking(model.name())).await?;
        let Some(mut item) = self.get(&parked, stream.stream_id.as_str()).await? else { return Ok(()) };
        item.insert("attempts".to_owned(), number(stream.attempts));
        item.insert("error".to_owned(), text(&stream.error));
        item.insert("since".to_owned(), number(stream.since.as_micros()));
        item.insert("retry_at".to_owned(), number(ParkedStream::due_micros(stream.retry_at)));
        self.stage(&parked, stream.stream_id.as_str(), Some(item))
    }

    async fn clear_parked(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        self.clear_place(&parking(model.name())).await
    }
}

impl Tx {
    /// The first parked changeset of a stream, if the stream is parked.
    pub(super) async fn first_parked(
        &self,
        name: &str,
        stream_id: &StreamId,
    ) -> Result<Option<ChangesetId>, BoxError> {
        let parked = self.place(&parking(name)).await?;
        let stream = self.get(&parked, stream_id.as_str()).await?;
        stream.map(|stream| Ok(ChangesetId::new(to_number(&stream, "first")?))).transpose()
    }
}
