//! The projections' rows.

use std::collections::HashSet;

use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};

use super::Tx;
use super::lease::LEASE_SECONDS;
use super::sql::{signed, unsigned};
use crate::database::{Attachments, Lease, ParkedRows, PartitionRow, Transaction};
use crate::error::BoxError;
use crate::preview::RowDifferences;
use crate::projection_state::{ChangesetRef, Pause, Position, ProjectionState};
use crate::read_model_id::ReadModelId;
use crate::standby::Comparison;

const DUPLICATE_SCHEMA: &str = "42P06";

macro_rules! select_row {
    () => {
        "SELECT version, checkpoint, epoch, log_id, last_checkpoint, last_stream_id, last_changeset_id,
            rebuild_until, pause, last_timestamp, standby, split, name, owner, skips, fingerprint, segment FROM ees.projections"
    };
}

impl Tx {
    /// The names of what the projection made in its schema, or `None` if it was not recorded.
    async fn own_objects(&mut self, model: &ReadModelId) -> Result<Option<Vec<String>>, BoxError> {
        let own = sqlx::query_scalar("SELECT objects FROM ees.projections WHERE name = $1");
        let own: Option<Option<Vec<String>>> = own.bind(model.key()).fetch_optional(self.inner()).await?;
        Ok(own.flatten())
    }
}

impl Transaction for Tx {
    async fn load(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        let row = sqlx::query(concat!(select_row!(), " WHERE name = $1"));
        let row = row.bind(model.key()).fetch_optional(self.inner()).await?;
        row.as_ref().map(state).transpose()
    }

    async fn lock(&mut self, model: &ReadModelId) -> Result<Option<ProjectionState>, BoxError> {
        let row = sqlx::query(concat!(select_row!(), " WHERE name = $1 FOR UPDATE"));
        let row = row.bind(model.key()).fetch_optional(self.inner()).await?;
        row.as_ref().map(state).transpose()
    }

    async fn snapshot(&mut self) -> Result<(), BoxError> {
        // Begins a new transaction: the current one may have read from the database already.
        let anew = "COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
            SET LOCAL idle_in_transaction_session_timeout = '10s'";
        sqlx::raw_sql(anew).execute(self.inner()).await?;
        Ok(())
    }

    async fn size_bytes(&mut self, model: &ReadModelId) -> Result<Option<u64>, BoxError> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'm')",
        )
        .bind(model.name())
        .fetch_one(self.inner())
        .await?;
        Ok(Some(unsigned(bytes)))
    }

    async fn compare(&mut self, one: &ReadModelId, other: &ReadModelId) -> Result<Comparison, BoxError> {
        self.differences(one.name(), other.name()).await
    }

    async fn row_differences(
        &mut self,
        live: &ReadModelId,
        new: &ReadModelId,
        samples: usize,
    ) -> Result<RowDifferences, BoxError> {
        self.differing_rows(live.name(), new.name(), samples).await
    }

    async fn open_transactions(&mut self) -> Result<HashSet<String>, BoxError> {
        // Sessions of other users show only that they have a transaction.
        let open: Vec<String> = sqlx::query_scalar(
            "SELECT l.virtualtransaction FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.usesysid IS NOT NULL
                AND a.pid <> pg_backend_pid() AND (a.state IS NULL OR a.backend_xmin IS NOT NULL)",
        )
        .fetch_all(self.inner())
        .await?;
        Ok(open.into_iter().collect())
    }

    async fn exchange(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
        back: bool,
    ) -> Result<(), BoxError> {
        self.swap_schemas(live.name(), standby.name(), back).await?;
        // A worker that had the lease of one read model may not be able to run the other.
        sqlx::query(
            "UPDATE ees.projections p SET owner = NULL, leased_until = NULL, objects = o.objects
             FROM ees.projections o WHERE (p.name, o.name) IN (($1, $2), ($2, $1))",
        )
        .bind(live.name())
        .bind(standby.name())
        .execute(self.inner())
        .await?;
        // Their rows are locked.
        sqlx::query(
            "UPDATE ees.projections SET owner = NULL, leased_until = NULL
             WHERE starts_with(name, $1 || '/') OR starts_with(name, $2 || '/')",
        )
        .bind(live.name())
        .bind(standby.name())
        .execute(self.inner())
        .await?;
        self.swap_parked(live.name(), standby.name()).await
    }

    /// Deletes the row first, as every step writes it first, so that the two wait for each other. Without a
    /// row, a schema of that name belongs to somebody else and stays.
    async fn discard(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        let row = sqlx::query_scalar("DELETE FROM ees.projections WHERE name = $1 RETURNING objects");
        let Some(own): Option<Option<Vec<String>>> =
            row.bind(model.name()).fetch_optional(self.inner()).await?
        else {
            return Ok(());
        };
        // Before the tables: every step locks in this order.
        self.partitions(model, true).await?;
        self.lock_tables(model.name()).await?;
        let mut others = self.dependents(model.name()).await?;
        others.extend(self.not_made_by_projection(model.name(), own.as_deref()).await?);
        if !others.is_empty() {
            let (others, schema) = (others.join(", "), model.name());
            return Err(format!(
                "objects that the projection did not make are in the schema \"{schema}\" or depend on what is in it, \
                 and would be dropped with it: {others}. Drop these first, move them to another schema, or create \
                 them again so that they use the live read model"
            )
            .into());
        }
        let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", model.name()));
        sqlx::raw_sql(drop).execute(self.inner()).await?;
        self.remove_partitions(model).await?;
        self.clear_parked(model).await
    }

    async fn objects_of_others(&mut self, model: &ReadModelId) -> Result<Vec<String>, BoxError> {
        let own = self.own_objects(model).await?;
        let mut others = self.not_made_by_projection(model.name(), own.as_deref()).await?;
        let mut parts = self.objects(model.name()).await?;
        parts.retain(|part| !own.iter().flatten().any(|own| own == part));
        others.extend(parts);
        Ok(others)
    }

    async fn claim_objects(&mut self, model: &ReadModelId, others: &[String]) -> Result<(), BoxError> {
        let mut own = self.not_made_by_projection(model.name(), Some(others)).await?;
        let mut parts = self.objects(model.name()).await?;
        parts.retain(|part| !others.contains(part) && !own.contains(part));
        own.extend(parts);
        sqlx::query("UPDATE ees.projections SET objects = $2 WHERE name = $1")
            .bind(model.key())
            .bind(own)
            .execute(self.inner())
            .await?;
        Ok(())
    }

    async fn attachments(&mut self, model: &ReadModelId) -> Result<Attachments, BoxError> {
        let own = self.own_objects(model).await?.unwrap_or_default();
        self.attachments_in(model.name(), &own).await
    }

    async fn attach(&mut self, model: &ReadModelId, them: &Attachments) -> Result<Vec<String>, BoxError> {
        self.attach_again(model.name(), them).await
    }

    async fn left_behind(
        &mut self,
        live: &ReadModelId,
        standby: &ReadModelId,
    ) -> Result<Vec<String>, BoxError> {
        let mut objects = self.dependents(live.name()).await?;
        objects.retain(|object| !object.starts_with("publication "));
        let own = self.own_objects(live).await?.unwrap_or_default();
        objects.extend(self.objects_missing(live.name(), &own, standby.name()).await?);
        Ok(objects)
    }

    /// Also creates the schema.
    async fn insert(&mut self, model: &ReadModelId, state: &ProjectionState) -> Result<bool, BoxError> {
        let inserted = sqlx::query(
            "INSERT INTO ees.projections (name, version, checkpoint, epoch, objects) VALUES ($1, 0, 0, 0, '{}')
             ON CONFLICT DO NOTHING",
        );
        if inserted.bind(model.key()).execute(self.inner()).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let schema = model.name();
        let make = AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        sqlx::raw_sql(make).execute(self.inner()).await.map_err(|error| match error.as_database_error() {
            Some(answer) if answer.code().as_deref() == Some(DUPLICATE_SCHEMA) => BoxError::from(format!(
                "the database already has a schema \"{schema}\" that no projection created: rename or drop it, or \
                 give the projection another name"
            )),
            _ => error.into(),
        })?;
        self.replace(model, Position { next: Checkpoint::START, epoch: 0 }, state).await
    }

    /// Also sets the search path to the schema.
    async fn replace(
        &mut self,
        model: &ReadModelId,
        believed: Position,
        state: &ProjectionState,
    ) -> Result<bool, BoxError> {
        let last = state.last.as_ref();
        let (schema, worker) = (model.name(), self.worker.clone());
        let entered: Option<(String, String)> = sqlx::query_as(
            "UPDATE ees.projections SET version = $4, checkpoint = $5, epoch = $6, log_id = $7, last_checkpoint = $8,
                last_stream_id = $9, last_changeset_id = $10, rebuild_until = $11, pause = $12, last_timestamp = $13, standby = $16, split = $17, skips = $19, fingerprint = $20, segment = $21,
                leased_until = CASE WHEN owner = $15 THEN clock_timestamp() + make_interval(secs => $18) ELSE leased_until END
             WHERE name = $1 AND checkpoint = $2 AND epoch = $3
             RETURNING set_config('search_path', $14, true), pg_current_xact_id()::text",
        )
        .bind(model.key())
        .bind(signed(believed.next.get()))
        .bind(signed(believed.epoch))
        .bind(i64::from(state.version))
        .bind(signed(state.position.next.get()))
        .bind(signed(state.position.epoch))
        .bind(state.log_id.map(|id| id.to_string()))
        .bind(last.map(|last| signed(last.checkpoint.get())))
        .bind(last.map(|last| last.stream_id.as_str()))
        .bind(last.map(|last| signed(last.changeset_id.get())))
        .bind(state.rebuild_until.map(|until| signed(until.get())))
        .bind(state.pause.as_ref().map(serde_json::to_string).transpose()?)
        .bind(last.map(|last| last.timestamp.as_micros()))
        .bind(format!("\"{schema}\", public"))
        .bind(&*worker)
        .bind(state.standby.as_ref().map(serde_json::to_string).transpose()?)
        .bind(state.split.as_ref().map(serde_json::to_string).transpose()?)
        .bind(LEASE_SECONDS)
        .bind(state.skips_json()?)
        .bind(state.fingerprint.map(|fingerprint| fingerprint.to_string()))
        .bind(state.segment.as_ref().map(serde_json::to_string).transpose()?)
        .fetch_optional(self.inner())
        .await?;
        let Some((_, transaction)) = entered else { return Ok(false) };
        self.enter(schema, transaction);
        Ok(true)
    }

    async fn lease(&mut self, model: &ReadModelId, version: u32, stays: bool) -> Result<Lease, BoxError> {
        self.take_turns(model.key(), version, stays).await
    }

    async fn release_lease(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        self.leave(model.key()).await
    }

    async fn partitions(&mut self, model: &ReadModelId, locked: bool) -> Result<Vec<PartitionRow>, BoxError> {
        macro_rules! select_partitions {
            ($lock:literal) => {
                concat!(
                    select_row!(),
                    " WHERE starts_with(name, $1) ORDER BY substr(name, length($1) + 1)::int",
                    $lock
                )
            };
        }
        let rows =
            sqlx::query(if locked { select_partitions!(" FOR UPDATE") } else { select_partitions!("") });
        let rows = rows.bind(format!("{}/", model.name())).fetch_all(self.inner()).await?;
        let row = |(index, row): (u32, &PgRow)| {
            Ok(PartitionRow { id: model.with_partition(index), owner: row.try_get(13)?, state: state(row)? })
        };
        (0..).zip(&rows).map(row).collect()
    }

    async fn add_partition(
        &mut self,
        partition: &ReadModelId,
        state: &ProjectionState,
    ) -> Result<(), BoxError> {
        sqlx::query("INSERT INTO ees.projections (name, version, checkpoint, epoch) VALUES ($1, 0, 0, 0)")
            .bind(partition.key())
            .execute(self.inner())
            .await?;
        self.replace(partition, Position { next: Checkpoint::START, epoch: 0 }, state).await?;
        Ok(())
    }

    async fn remove_partition(&mut self, partition: &ReadModelId) -> Result<(), BoxError> {
        for table in ["ees.projections WHERE name = $1", "ees.workers WHERE projection = $1"] {
            let delete = AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(delete).bind(partition.key()).execute(self.inner()).await?;
        }
        Ok(())
    }

    async fn remove_partitions(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        for table in
            ["ees.projections WHERE starts_with(name, $1)", "ees.workers WHERE starts_with(projection, $1)"]
        {
            let delete = AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(delete).bind(format!("{}/", model.name())).execute(self.inner()).await?;
        }
        Ok(())
    }

    async fn pause_partitions(&mut self, model: &ReadModelId, pause: Option<&Pause>) -> Result<(), BoxError> {
        // Locks the rows in the order that every transaction uses.
        self.partitions(model, true).await?;
        sqlx::query("UPDATE ees.projections SET pause = $2, epoch = epoch + 1 WHERE starts_with(name, $1)")
            .bind(format!("{}/", model.name()))
            .bind(pause.map(serde_json::to_string).transpose()?)
            .execute(self.inner())
            .await?;
        Ok(())
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.end().await
    }
}

fn state(row: &PgRow) -> Result<ProjectionState, BoxError> {
    let last = match (
        row.try_get::<Option<i64>, _>(4)?,
        row.try_get::<Option<&str>, _>(5)?,
        row.try_get::<Option<i64>, _>(6)?,
        row.try_get::<Option<i64>, _>(9)?,
    ) {
        (Some(checkpoint), Some(stream_id), Some(changeset_id), Some(timestamp)) => Some(ChangesetRef {
            checkpoint: Checkpoint::new(unsigned(checkpoint)),
            stream_id: StreamId::new(stream_id)?,
            changeset_id: ChangesetId::new(unsigned(changeset_id)),
            timestamp: Timestamp::from_micros(timestamp),
        }),
        _ => None,
    };
    let log_id: Option<&str> = row.try_get(3)?;
    let pause: Option<&str> = row.try_get(8)?;
    let standby: Option<&str> = row.try_get(10)?;
    let split: Option<&str> = row.try_get(11)?;
    let skips: Option<&str> = row.try_get(14)?;
    let fingerprint: Option<&str> = row.try_get(15)?;
    let segment: Option<&str> = row.try_get(16)?;
    Ok(ProjectionState {
        version: u32::try_from(row.try_get::<i64, _>(0)?)?,
        position: Position {
            next: Checkpoint::new(unsigned(row.try_get(1)?)),
            epoch: unsigned(row.try_get(2)?),
        },
        log_id: log_id.map(|text| text.parse().map(LogId)).transpose()?,
        last,
        rebuild_until: row.try_get::<Option<i64>, _>(7)?.map(|until| Checkpoint::new(unsigned(until))),
        pause: pause.map(serde_json::from_str).transpose()?,
        split: split.map(serde_json::from_str).transpose()?,
        standby: standby.map(serde_json::from_str).transpose()?,
        skips: ProjectionState::skips_of_json(skips)?,
        fingerprint: fingerprint.map(str::parse).transpose()?,
        segment: segment.map(serde_json::from_str).transpose()?,
    })
}

/// The checkpoint that a projection reads next; `None` when the projection was never started in this
/// database. Use it in a transaction of isolation level `REPEATABLE READ` with your own queries, to show how
/// fresh the read model is: both then come from the same moment, unless a swap comes between them. The guide on
/// rebuilding has a query that is exact also then.
///
/// # Errors
/// An error of the database.
pub async fn checkpoint(connection: &mut sqlx::PgConnection, name: &str) -> sqlx::Result<Option<Checkpoint>> {
    let place = sqlx::query_scalar(
        "SELECT coalesce((SELECT min(p.checkpoint) FROM ees.projections p WHERE starts_with(p.name, $1 || '/')), checkpoint)
         FROM ees.projections WHERE name = $1",
    );
    let place: Option<i64> = place.bind(name).fetch_optional(connection).await?;
    Ok(place.map(|place| Checkpoint::new(unsigned(place))))
}
