//! The projections' rows.

use std::collections::HashSet;

use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};

use super::Tx;
use crate::control::{Applied, Control, Pause, Position};
use crate::database::{Grant, Lease, ParkedRows, PartitionRow, Transaction};
use crate::projection::BoxError;
use crate::standby::Comparison;

const DUPLICATE_SCHEMA: &str = "42P06";

macro_rules! select_row {
    () => {
        "SELECT version, checkpoint, epoch, log_id, last_checkpoint, last_stream_id, last_changeset_id,
            rebuild_until, pause, last_timestamp, standby, split, name, owner FROM ees.projections"
    };
}

impl Transaction for Tx {
    async fn load(&mut self, name: &str) -> Result<Option<Control>, BoxError> {
        let row = sqlx::query(concat!(select_row!(), " WHERE name = $1"));
        let row = row.bind(name).fetch_optional(self.inner()).await?;
        row.as_ref().map(control).transpose()
    }

    async fn lock(&mut self, name: &str) -> Result<Option<Control>, BoxError> {
        let row = sqlx::query(concat!(select_row!(), " WHERE name = $1 FOR UPDATE"));
        let row = row.bind(name).fetch_optional(self.inner()).await?;
        row.as_ref().map(control).transpose()
    }

    async fn snapshot(&mut self) -> Result<(), BoxError> {
        // A new transaction, because what it began with may have looked at the database already.
        let anew = "COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
            SET LOCAL idle_in_transaction_session_timeout = '10s'";
        sqlx::raw_sql(anew).execute(self.inner()).await?;
        Ok(())
    }

    async fn size_bytes(&mut self, name: &str) -> Result<Option<u64>, BoxError> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'm')",
        )
        .bind(schema_of(name))
        .fetch_one(self.inner())
        .await?;
        Ok(Some(unsigned(bytes)))
    }

    async fn compare(&mut self, one: &str, other: &str) -> Result<Comparison, BoxError> {
        self.differences(schema_of(one), schema_of(other)).await
    }

    async fn open_transactions(&mut self) -> Result<HashSet<String>, BoxError> {
        // Of sessions of other users one may not see more than that there is a transaction.
        let open: Vec<String> = sqlx::query_scalar(
            "SELECT l.virtualtransaction FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.usesysid IS NOT NULL
                AND a.pid <> pg_backend_pid() AND (a.state IS NULL OR a.backend_xmin IS NOT NULL)",
        )
        .fetch_all(self.inner())
        .await?;
        Ok(open.into_iter().collect())
    }

    async fn exchange(&mut self, live: &str, standby: &str, back: bool) -> Result<(), BoxError> {
        self.swap_schemas(schema_of(live), schema_of(standby), back).await?;
        // Whoever had the one may not be able to work on the other.
        sqlx::query("UPDATE ees.projections SET owner = NULL, leased_until = NULL WHERE name IN ($1, $2)")
            .bind(live)
            .bind(standby)
            .execute(self.inner())
            .await?;
        self.swap_parked(live, standby).await
    }

    /// The row first, as every step does, so that the two wait for one another. Without a row, a schema of that name is
    /// somebody else's.
    async fn discard(&mut self, name: &str) -> Result<(), BoxError> {
        let row = sqlx::query("DELETE FROM ees.projections WHERE name = $1").bind(name);
        if row.execute(self.inner()).await?.rows_affected() == 0 {
            return Ok(());
        }
        let theirs = self.dependents(schema_of(name)).await?;
        if !theirs.is_empty() {
            let theirs = theirs.join(", ");
            return Err(format!(
                "it can't be dropped, because of {theirs}, made by others: drop these first"
            )
            .into());
        }
        let drop = AssertSqlSafe(format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", schema_of(name)));
        sqlx::raw_sql(drop).execute(self.inner()).await?;
        self.remove_partitions(name).await?;
        self.clear_parked(name).await
    }

    async fn grants(&mut self, name: &str) -> Result<Vec<Grant>, BoxError> {
        self.grants_in(schema_of(name)).await
    }

    async fn grant(&mut self, grants: &[Grant]) -> Result<(), BoxError> {
        self.grant_again(grants).await
    }

    /// Makes the schema as well.
    async fn insert(&mut self, name: &str, control: &Control) -> Result<bool, BoxError> {
        let inserted = sqlx::query(
            "INSERT INTO ees.projections (name, version, checkpoint, epoch) VALUES ($1, 0, 0, 0)
             ON CONFLICT DO NOTHING",
        );
        if inserted.bind(name).execute(self.inner()).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let schema = schema_of(name);
        let make = AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        sqlx::raw_sql(make).execute(self.inner()).await.map_err(|error| match error.as_database_error() {
            Some(answer) if answer.code().as_deref() == Some(DUPLICATE_SCHEMA) => BoxError::from(format!(
                "the database has a schema \"{schema}\" already, which no projection has made: rename or drop it, or \
                 give the projection another name"
            )),
            _ => error.into(),
        })?;
        self.replace(name, Position { next: Checkpoint::START, epoch: 0 }, control).await
    }

    /// Steps into the schema as well.
    async fn replace(&mut self, name: &str, believed: Position, control: &Control) -> Result<bool, BoxError> {
        let last = control.last.as_ref();
        let (schema, worker) = (schema_of(name), self.worker.clone());
        let entered: Option<(String, String)> = sqlx::query_as(
            "UPDATE ees.projections SET version = $4, checkpoint = $5, epoch = $6, log_id = $7, last_checkpoint = $8,
                last_stream_id = $9, last_changeset_id = $10, rebuild_until = $11, pause = $12, last_timestamp = $13, standby = $16, split = $17,
                leased_until = CASE WHEN owner = $15 THEN clock_timestamp() + interval '5 seconds' ELSE leased_until END
             WHERE name = $1 AND checkpoint = $2 AND epoch = $3
             RETURNING set_config('search_path', $14, true), pg_current_xact_id()::text",
        )
        .bind(name)
        .bind(signed(believed.next.get()))
        .bind(signed(believed.epoch))
        .bind(i64::from(control.version))
        .bind(signed(control.position.next.get()))
        .bind(signed(control.position.epoch))
        .bind(control.log_id.map(|id| id.to_string()))
        .bind(last.map(|last| signed(last.checkpoint.get())))
        .bind(last.map(|last| last.stream_id.as_str()))
        .bind(last.map(|last| signed(last.changeset_id.get())))
        .bind(control.rebuild_until.map(|until| signed(until.get())))
        .bind(control.pause.as_ref().map(serde_json::to_string).transpose()?)
        .bind(last.map(|last| last.timestamp.as_micros()))
        .bind(format!("\"{schema}\", public"))
        .bind(&*worker)
        .bind(control.standby.as_ref().map(serde_json::to_string).transpose()?)
        .bind(control.split.as_ref().map(serde_json::to_string).transpose()?)
        .fetch_optional(self.inner())
        .await?;
        let Some((_, transaction)) = entered else { return Ok(false) };
        self.enter(schema, transaction);
        Ok(true)
    }

    async fn lease(&mut self, name: &str, version: u32, stays: bool) -> Result<Lease, BoxError> {
        self.take_turns(name, version, stays).await
    }

    async fn let_go(&mut self, name: &str) -> Result<(), BoxError> {
        self.leave(name).await
    }

    async fn partitions(&mut self, name: &str, locked: bool) -> Result<Vec<PartitionRow>, BoxError> {
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
        let rows = rows.bind(format!("{name}/")).fetch_all(self.inner()).await?;
        let row = |row: &PgRow| {
            let (key, owner) = (row.try_get(12)?, row.try_get(13)?);
            Ok(PartitionRow { key, owner, control: control(row)? })
        };
        rows.iter().map(row).collect()
    }

    async fn add_partition(&mut self, key: &str, control: &Control) -> Result<(), BoxError> {
        sqlx::query("INSERT INTO ees.projections (name, version, checkpoint, epoch) VALUES ($1, 0, 0, 0)")
            .bind(key)
            .execute(self.inner())
            .await?;
        self.replace(key, Position { next: Checkpoint::START, epoch: 0 }, control).await?;
        Ok(())
    }

    async fn remove_partitions(&mut self, name: &str) -> Result<(), BoxError> {
        for table in
            ["ees.projections WHERE starts_with(name, $1)", "ees.workers WHERE starts_with(projection, $1)"]
        {
            let delete = AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(delete).bind(format!("{name}/")).execute(self.inner()).await?;
        }
        Ok(())
    }

    async fn pause_partitions(&mut self, name: &str, pause: Option<&Pause>) -> Result<(), BoxError> {
        // In the order in which all take them.
        self.partitions(name, true).await?;
        sqlx::query("UPDATE ees.projections SET pause = $2, epoch = epoch + 1 WHERE starts_with(name, $1)")
            .bind(format!("{name}/"))
            .bind(pause.map(serde_json::to_string).transpose()?)
            .execute(self.inner())
            .await?;
        Ok(())
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.end().await
    }
}

/// Where a read model's tables lie: in the schema of its name, whichever of its partitions' rows it is.
pub(super) fn schema_of(key: &str) -> &str {
    key.split_once('/').map_or(key, |(name, _)| name)
}

fn control(row: &PgRow) -> Result<Control, BoxError> {
    let last = match (
        row.try_get::<Option<i64>, _>(4)?,
        row.try_get::<Option<&str>, _>(5)?,
        row.try_get::<Option<i64>, _>(6)?,
        row.try_get::<Option<i64>, _>(9)?,
    ) {
        (Some(checkpoint), Some(stream_id), Some(changeset_id), Some(timestamp)) => Some(Applied {
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
    Ok(Control {
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
    })
}

/// The checkpoint a projection reads next, as of the same moment as other queries in the same transaction (of the
/// isolation level `REPEATABLE READ`); `None` when it was never started here. For read models that show how fresh they
/// are.
///
/// # Errors
/// The database's.
pub async fn checkpoint(connection: &mut sqlx::PgConnection, name: &str) -> sqlx::Result<Option<Checkpoint>> {
    let place = sqlx::query_scalar(
        "SELECT coalesce((SELECT min(p.checkpoint) FROM ees.projections p WHERE starts_with(p.name, $1 || '/')), checkpoint)
         FROM ees.projections WHERE name = $1",
    );
    let place: Option<i64> = place.bind(name).fetch_optional(connection).await?;
    Ok(place.map(|place| Checkpoint::new(unsigned(place))))
}

/// PostgreSQL's text can't hold the zero character.
pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The columns are signed; our counters end where those do.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
