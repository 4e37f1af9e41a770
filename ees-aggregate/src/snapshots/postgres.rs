//! Snapshots in PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use ees_store::ChangesetId;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Postgres, Row, Transaction};

use super::{BoxError, Key, Snapshot};

/// Snapshots in a PostgreSQL table, `ees_aggregate.snapshots_1`, in the store's database or any other. Clones
/// share their connections, and any number of processes may share the table.
///
/// The first role to connect needs `CREATE` on the database. Afterwards `USAGE` on the schema `ees_aggregate`
/// and `SELECT, INSERT, UPDATE` on the table are enough.
///
/// ```no_run
/// # async fn connect() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// use ees_aggregate::snapshots::postgres::Snapshots;
/// let snapshots = Snapshots::connect("postgres://ada@localhost/bank").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshots {
    pool: PgPool,
    begin: &'static str,
}

/// A lock that is not given in time is not worth waiting for.
const BEGIN: &str =
    "BEGIN; SET LOCAL lock_timeout = '1s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
/// The same through a proxy that gives each transaction another session, in which others have left their
/// statements.
const BEGIN_POOLED: &str = "BEGIN; DEALLOCATE ALL; SET LOCAL lock_timeout = '1s'; SET LOCAL idle_in_transaction_session_timeout = '10s'";
const CONNECTIONS_MAX: u32 = 4;
/// How long the check of a connection that is given back may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// `eesaggre` in ASCII: a process that creates the table holds this lock.
const SETUP_LOCK: i64 = 0x6565_7361_6767_7265;

/// The table's name says its version: one of another version is left alone, as nobody misses what is in it.
const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS ees_aggregate;
CREATE TABLE IF NOT EXISTS ees_aggregate.snapshots_1 (
    log_id       text NOT NULL,
    aggregate    text NOT NULL,
    stream_id    text NOT NULL,
    schema       text NOT NULL,
    changeset_id bigint NOT NULL,
    seal         bytea NOT NULL,
    state        text NOT NULL,
    PRIMARY KEY (stream_id, aggregate, log_id)
)";

impl Snapshots {
    /// Connects, and creates the table if it does not exist. Behind a proxy that pools transactions, add
    /// `statement-cache-capacity=0` to the URL.
    ///
    /// # Errors
    /// When the URL is invalid, the server can't be reached, or a right is missing.
    pub async fn connect(url: &str) -> Result<Self, BoxError> {
        let options: PgConnectOptions = url.parse()?;
        let name = options.get_application_name().unwrap_or("ees-aggregate").to_owned();
        let options = options.application_name(&name).disable_statement_logging();
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        let pooled = parameters.split('&').any(|parameter| parameter == "statement-cache-capacity=0");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(Duration::from_secs(5))
            // A caller that is cancelled while it begins a transaction leaves it open, and the driver does not
            // know of it. Within a transaction its time is that of an earlier statement.
            .after_release(|connection, _| {
                Box::pin(async move {
                    let is_alone = sqlx::raw_sql("SELECT transaction_timestamp() = statement_timestamp()");
                    let answer = tokio::time::timeout(ANSWER_MAX, is_alone.fetch_one(connection)).await;
                    Ok(answer.is_ok_and(|row| row.and_then(|row| row.try_get(0)).unwrap_or(false)))
                })
            })
            .connect_with(options)
            .await?;
        let snapshots = Self { pool, begin: if pooled { BEGIN_POOLED } else { BEGIN } };
        snapshots.prepare().await?;
        Ok(snapshots)
    }

    async fn prepare(&self) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        let there: Option<String> =
            sqlx::query_scalar("SELECT to_regclass('ees_aggregate.snapshots_1')::text")
                .fetch_one(&mut *tx)
                .await?;
        // Looking needs no right to make it.
        if there.is_some() {
            return tx.commit().await;
        }
        sqlx::query("SET LOCAL lock_timeout = '30s'").execute(&mut *tx).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(SETUP_LOCK).execute(&mut *tx).await?;
        // A session remembers that there was no such schema until it locks a table; another process may have
        // made it.
        sqlx::query("SELECT count(*) FROM pg_catalog.pg_namespace").execute(&mut *tx).await?;
        sqlx::raw_sql(TABLE).execute(&mut *tx).await?;
        tx.commit().await
    }

    async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.pool.begin_with(self.begin).await
    }
}

#[async_trait]
impl super::Snapshots for Snapshots {
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError> {
        let mut tx = self.begin().await?;
        let sql = "SELECT schema, changeset_id, seal, state FROM ees_aggregate.snapshots_1
                   WHERE log_id = $1 AND aggregate = $2 AND stream_id = $3";
        let found: Option<(String, i64, Vec<u8>, String)> = sqlx::query_as(sql)
            .bind(key.log_id.to_string())
            .bind(key.aggregate)
            .bind(key.stream_id.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(found.map(|(schema, changeset_id, seal, state)| {
            let changeset_id = ChangesetId::new(u64::try_from(changeset_id).unwrap_or_default());
            Snapshot { schema, changeset_id, seal, state }
        }))
    }

    async fn keep(&self, key: &Key, snapshot: &Snapshot) -> Result<(), BoxError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO ees_aggregate.snapshots_1
                   (log_id, aggregate, stream_id, schema, changeset_id, seal, state)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)
                   ON CONFLICT (stream_id, aggregate, log_id) DO UPDATE
                   SET schema = excluded.schema, changeset_id = excluded.changeset_id,
                       seal = excluded.seal, state = excluded.state";
        sqlx::query(sql)
            .bind(key.log_id.to_string())
            .bind(key.aggregate)
            .bind(key.stream_id.as_str())
            .bind(&snapshot.schema)
            .bind(i64::try_from(snapshot.changeset_id.get())?)
            .bind(&snapshot.seal)
            .bind(&snapshot.state)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}
