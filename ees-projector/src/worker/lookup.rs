//! What an operator's wish is about: a changeset, a row.

use ees_store::{Checkpoint, LogQuery, StreamId};

use crate::control::{Applied, Control};
use crate::database::{Database, Transaction};
use crate::operation::OperateError;
use crate::projection::Projection;
use crate::slot::Slot;
use crate::worker::batch::place_of;
use crate::worker::error::StepError;
use crate::worker::runner::Runner;

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// The changeset at this checkpoint, if it is the one the projection stands before.
    pub(super) async fn stands_before(
        &self,
        control: &Control,
        checkpoint: Checkpoint,
    ) -> Result<Option<Applied>, StepError> {
        let mut from = control.position.next;
        let filter = self.core.wanted();
        // The next one it wants may lie behind some that it does not.
        while from <= checkpoint {
            let query = LogQuery::from(from, 1).with_filter(filter.clone());
            let page = self.core.log.read(query).await.map_err(StepError::Log)?;
            let foreign =
                |stream: &StreamId| self.core.partition().is_some_and(|partition| !partition.owns(stream));
            if let Some(first) = page.changesets.first().filter(|first| !foreign(&first.stream_id)) {
                return Ok(Some(place_of(first)).filter(|place| place.checkpoint == checkpoint));
            }
            if page.next == from {
                break;
            }
            from = page.next;
        }
        Ok(None)
    }

    pub(super) async fn first_parked(&self, checkpoint: Checkpoint) -> Result<Applied, OperateError> {
        let page = self.core.log.read(LogQuery::from(checkpoint, 1)).await.map_err(StepError::Log)?;
        let place = page.changesets.first().map(place_of).filter(|place| place.checkpoint == checkpoint);
        let parked = self.parked_streams().await?;
        let is_first = |place: &Applied| {
            parked
                .iter()
                .any(|stream| stream.stream_id == place.stream_id && stream.first == place.changeset_id)
        };
        place.filter(is_first).ok_or_else(|| {
            OperateError::Invalid(format!(
                "checkpoint {checkpoint} is neither the changeset the projection stands before nor the first one of a \
                 parked stream: only those can be skipped"
            ))
        })
    }

    pub(super) async fn stored(&self) -> Result<Control, OperateError> {
        let core = self.core.clone();
        let read = async move { core.database.begin().await?.load(core.name()).await };
        let stored =
            self.core.database.run(read).await.and_then(|stored| stored).map_err(StepError::Database)?;
        let none = match self.core.slot() {
            Slot::Live => "the projection was never started here",
            Slot::Standby | Slot::Scratch => "there is nothing beside the read model that is read",
        };
        stored.ok_or_else(|| OperateError::Invalid(none.to_owned()))
    }
}
