//! The projections' rows.

use ees_projector::database::Transaction;
use ees_projector::{
    BoxError, ChangesetRef, Fingerprint, Pause, Position, ProjectionState, ReadModelId, SegmentProgress,
    Skipped,
};
use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Key, Tx, key};

/// A projection's row as it is kept: without what only a database with partitions and standbys has.
#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    next: Checkpoint,
    epoch: u64,
    log_id: Option<LogId>,
    last: Option<(Checkpoint, StreamId, ChangesetId, Timestamp)>,
    rebuild_until: Option<Checkpoint>,
    pause: Option<Pause>,
    skips: Vec<Skipped>,
    fingerprint: Option<Fingerprint>,
    segment: Option<SegmentProgress>,
}

impl From<&ProjectionState> for Kept {
    fn from(state: &ProjectionState) -> Self {
        let ProjectionState {
            version,
            position,
            log_id,
            last,
            rebuild_until,
            pause,
            split: _,
            standby: _,
            skips,
            fingerprint,
            segment,
        } = state.clone();
        let last = last.map(|it| (it.checkpoint, it.stream_id, it.changeset_id, it.timestamp));
        Self {
            version,
            next: position.next,
            epoch: position.epoch,
            log_id,
            last,
            rebuild_until,
            pause,
            skips,
            fingerprint,
            segment,
        }
    }
}

impl From<Kept> for ProjectionState {
    fn from(kept: Kept) -> Self {
        let Kept { version, next, epoch, log_id, last, rebuild_until, pause, skips, fingerprint, segment } =
            kept;
        let last = last.map(|(checkpoint, stream_id, changeset_id, timestamp)| ChangesetRef {
            checkpoint,
            stream_id,
            changeset_id,
            timestamp,
        });
        let position = Position { next, epoch };
        Self {
            version,
            position,
            log_id,
            last,
            rebuild_until,
            pause,
            split: None,
            standby: None,
            skips,
            fingerprint,
            segment,
        }
    }
}

fn row(name: &str) -> Key {
    key(["projection", name])
}

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        Ok(self.get::<Kept>(&row(model.key()))?.map(ProjectionState::from))
    }

    async fn insert(&mut self, model: &ReadModelId, state: &ProjectionState) -> Result<bool, BoxError> {
        if self.load(model).await?.is_some() {
            return Ok(false);
        }
        self.put(row(model.key()), &Kept::from(state))?;
        Ok(true)
    }

    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> Result<bool, BoxError> {
        if self.load(model).await?.is_none_or(|stored| stored.position != believed) {
            return Ok(false);
        }
        self.put(row(model.key()), &Kept::from(state))?;
        Ok(true)
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.write()
    }
}
