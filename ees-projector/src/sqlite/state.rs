//! The projections' rows.

use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::tx::Mode;
use super::{Tx, additions, compare, row_differences, slots, swap};
use crate::database::{Attachments, Transaction};
use crate::error::BoxError;
use crate::preview::RowDifferences;
use crate::projection_state::{ChangesetRef, Position, ProjectionState};
use crate::read_model_id::{ReadModelId, Slot};
use crate::standby::Comparison;

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        if let Some(snapshot) = &mut self.snapshot {
            let database = snapshot.name_of(&self.database, model)?;
            return database.map_or(Ok(None), |name| row(snapshot.connection(), name, model));
        }
        row(self.of(model).await?, "main", model)
    }

    async fn snapshot(&mut self) -> Result<(), BoxError> {
        self.look()
    }

    /// The size of the whole file, whatever else is in it.
    async fn size_bytes(&mut self, model: &ReadModelId) -> Result<Option<u64>, BoxError> {
        let size = "SELECT (page_count - freelist_count) * page_size
            FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        Ok(Some(self.of(model).await?.query_row(size, [], |row| row.get(0))?))
    }

    async fn compare(&mut self, one: &ReadModelId, other: &ReadModelId) -> Result<Comparison, BoxError> {
        compare::differences(self.snapshot_of(one, other)?, one)
    }

    async fn row_differences(
        &mut self,
        live: &ReadModelId,
        new: &ReadModelId,
        samples: usize,
    ) -> Result<RowDifferences, BoxError> {
        row_differences::differing_rows(self.snapshot_of(live, new)?, live, samples)
    }

    async fn exchange(&mut self, live: &ReadModelId, standby: &ReadModelId, _: bool) -> Result<(), BoxError> {
        swap::exchange(self, live, standby).await
    }

    async fn discard(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        self.delete_file(model).await
    }

    async fn left_behind(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
    ) -> Result<Vec<String>, BoxError> {
        let (of_live, of_standby) = self.of_both(live, standby).await?;
        additions::missing(of_live, live.key(), of_standby)
    }

    /// Also creates the file of a standby or a scratch read model.
    async fn insert(&mut self, model: &ReadModelId, state: &ProjectionState) -> Result<bool, BoxError> {
        if model.slot() != Slot::Live && slots::path(self, model)?.is_none() {
            self.create_file(model, Mode::Ordinary).await?;
        }
        let inserted = self
            .of(model)
            .await?
            .prepare_cached(
                "INSERT INTO ees_projections (name, version, checkpoint, epoch) VALUES (?1, 0, 0, 0)
                 ON CONFLICT DO NOTHING",
            )?
            .execute([model.key()])?;
        if inserted == 0 {
            return Ok(false);
        }
        self.replace(model, Position { next: Checkpoint::START, epoch: 0 }, state).await
    }

    /// From here on the projection's statements run in the file of the read model.
    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> Result<bool, BoxError> {
        self.enter(model).await?;
        let mut statement = self.connection().prepare_cached(
            "UPDATE ees_projections SET version = ?4, checkpoint = ?5, epoch = ?6, log_id = ?7, last_checkpoint = ?8,
                last_stream_id = ?9, last_changeset_id = ?10, rebuild_until = ?11, pause = ?12,
                last_timestamp = ?13, skips = ?14, standby = ?15, fingerprint = ?16, segment = ?17
             WHERE name = ?1 AND checkpoint = ?2 AND epoch = ?3",
        )?;
        let last = state.last.as_ref();
        let changed = statement.execute(params![
            model.key(),
            believed.next.get(),
            believed.epoch,
            state.version,
            state.position.next.get(),
            state.position.epoch,
            state.log_id.map(|id| id.to_string()),
            last.map(|last| last.checkpoint.get()),
            last.map(|last| last.stream_id.as_str()),
            last.map(|last| last.changeset_id.get()),
            state.rebuild_until.map(Checkpoint::get),
            state.pause.as_ref().map(serde_json::to_string).transpose()?,
            last.map(|last| last.timestamp.as_micros()),
            state.skips_json()?,
            state.standby.as_ref().map(serde_json::to_string).transpose()?,
            state.fingerprint.map(|fingerprint| fingerprint.to_string()),
            state.segment.as_ref().map(serde_json::to_string).transpose()?,
        ])?;
        Ok(changed == 1)
    }

    async fn objects_of_others(&mut self, model: &ReadModelId) -> Result<Vec<String>, BoxError> {
        additions::of_others(self.of(model).await?, model.key())
    }

    async fn claim_objects(&mut self, model: &ReadModelId, others: &[String]) -> Result<(), BoxError> {
        additions::claim(self.of(model).await?, model.key(), others)
    }

    async fn attachments(&mut self, model: &ReadModelId) -> Result<Attachments, BoxError> {
        additions::of_tables(self.of(model).await?, model.key())
    }

    async fn attach(&mut self, model: &ReadModelId, them: &Attachments) -> Result<Vec<String>, BoxError> {
        additions::add(self.of(model).await?, them)
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.end()
    }
}

impl Tx {
    /// The connection of the snapshot, which sees both read models.
    fn snapshot_of(&mut self, one: &ReadModelId, other: &ReadModelId) -> Result<&Connection, BoxError> {
        let snapshot = self.snapshot.as_mut().ok_or("the transaction is not a snapshot")?;
        for model in [one, other] {
            snapshot
                .name_of(&self.database, model)?
                .ok_or_else(|| format!("there is no read model \"{model}\""))?;
        }
        Ok(snapshot.connection())
    }
}

/// The row of a read model in one of the databases of a connection.
fn row(
    connection: &Connection,
    database: &str,
    model: &ReadModelId,
) -> Result<Option<ProjectionState>, BoxError> {
    let select = format!(
        "SELECT version, checkpoint, epoch, log_id, last_checkpoint, last_stream_id, last_changeset_id,
            rebuild_until, pause, last_timestamp, skips, standby, fingerprint, segment
         FROM {database}.ees_projections WHERE name = ?1"
    );
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_row([model.key()], |row| Ok(state(row))).optional()?.transpose()
}

fn state(row: &Row<'_>) -> Result<ProjectionState, BoxError> {
    let last_stream: Option<String> = row.get(5)?;
    let last = match (row.get::<_, Option<u64>>(4)?, last_stream, row.get::<_, Option<u64>>(6)?) {
        (Some(checkpoint), Some(stream_id), Some(changeset_id)) => Some(ChangesetRef {
            checkpoint: Checkpoint::new(checkpoint),
            stream_id: StreamId::new(&stream_id)?,
            changeset_id: ChangesetId::new(changeset_id),
            timestamp: Timestamp::from_micros(row.get(9)?),
        }),
        _ => None,
    };
    let log_id: Option<String> = row.get(3)?;
    let pause: Option<String> = row.get(8)?;
    let skips: Option<String> = row.get(10)?;
    let standby: Option<String> = row.get(11)?;
    let fingerprint: Option<String> = row.get(12)?;
    let segment: Option<String> = row.get(13)?;
    Ok(ProjectionState {
        version: row.get(0)?,
        position: Position { next: Checkpoint::new(row.get(1)?), epoch: row.get(2)? },
        log_id: log_id.map(|text| text.parse().map(LogId)).transpose()?,
        last,
        rebuild_until: row.get::<_, Option<u64>>(7)?.map(Checkpoint::new),
        pause: pause.map(|text| serde_json::from_str(&text)).transpose()?,
        split: None,
        standby: standby.map(|text| serde_json::from_str(&text)).transpose()?,
        skips: ProjectionState::skips_of_json(skips.as_deref())?,
        fingerprint: fingerprint.map(|text| text.parse()).transpose()?,
        segment: segment.map(|text| serde_json::from_str(&text)).transpose()?,
    })
}

/// The checkpoint that a projection reads next; `None` when the projection was never started on this file.
/// Use it in a read transaction with your own queries, to show how fresh the read model is: both then come
/// from the same moment.
///
/// # Errors
/// An error of the database.
pub fn checkpoint(connection: &Connection, name: &str) -> rusqlite::Result<Option<Checkpoint>> {
    let mut statement =
        connection.prepare_cached("SELECT checkpoint FROM ees_projections WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0).map(Checkpoint::new)).optional()
}
