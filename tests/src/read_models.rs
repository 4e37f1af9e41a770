//! Read models in PostgreSQL that reveal a changeset that was lost, applied twice, or applied out of order.

use ees_projector::postgres::{Database, Tx, sqlx};
use ees_projector::{
    BoxError, Fold, NewVersion, Order, Projection, Projector, Recorded, RegisterError, Settings,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// What happened to a file.
#[derive(Deserialize)]
#[serde(tag = "type")]
pub enum FileEvent {
    /// It was added.
    #[serde(rename = "file_added")]
    Added(File),
    /// It was changed.
    #[serde(rename = "file_changed")]
    Changed(File),
    /// It was deleted.
    #[serde(rename = "file_deleted")]
    Deleted,
}

/// A file that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    mode: String,
    blob: String,
}

/// The files that exist: a row for each path. Version 2 writes the name of a blob in capitals, so that its
/// rows differ from those of version 1.
#[derive(Clone, Copy)]
pub struct FileTree {
    /// 1 or 2.
    pub version: u32,
}

impl FileTree {
    /// The name of the projection.
    pub const NAME: &str = "file_tree";

    /// All rows, in the form of the expected tree.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read(database: &Database) -> sqlx::Result<String> {
        sqlx::query_scalar(
            "SELECT coalesce(string_agg(key || E'\\t' || (state->>'mode') || E'\\t' || (state->>'blob') || E'\\n', ''
                ORDER BY key COLLATE \"C\"), '') FROM file_tree.file_tree",
        )
        .fetch_one(database.pool())
        .await
    }
}

impl Fold for FileTree {
    type Event = FileEvent;
    type Key = String;
    type State = File;

    fn name(&self) -> &str {
        Self::NAME
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, FileEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, _: Option<File>, event: Recorded<'_, FileEvent>) -> Option<File> {
        let (FileEvent::Added(File { mode, blob }) | FileEvent::Changed(File { mode, blob })) = event.event
        else {
            return None;
        };
        let blob = if self.version == 2 { blob.to_uppercase() } else { blob.clone() };
        Some(File { mode: mode.clone(), blob })
    }
}

/// A row for each changeset: how often it was applied, and how many were applied before it. Both are counted
/// in the transaction that applies it.
pub struct Applications;

impl Applications {
    /// The name of the projection.
    pub const NAME: &str = "applications";

    /// Returns the changesets that were applied, and those that were applied out of order or not exactly
    /// once.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn read(database: &Database) -> sqlx::Result<(i64, Vec<i64>)> {
        sqlx::query_as(
            "SELECT count(*), coalesce(array_agg(checkpoint) FILTER (WHERE times <> 1 OR before <> checkpoint), '{}')
             FROM applications.applications",
        )
        .fetch_one(database.pool())
        .await
    }
}

impl Projection<Tx> for Applications {
    type Event = IgnoredAny;

    fn name(&self) -> &str {
        Self::NAME
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let tables = "CREATE TABLE applications (
                checkpoint bigint PRIMARY KEY, times bigint NOT NULL, before bigint NOT NULL
            );
            CREATE TABLE counted (applications bigint NOT NULL);
            INSERT INTO counted VALUES (0)";
        sqlx::raw_sql(tables).execute(tx.connection()).await?;
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE applications, counted").execute(tx.connection()).await?;
        Ok(())
    }

    async fn apply(&self, event: Recorded<'_, IgnoredAny>, tx: &mut Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }

    async fn apply_batch(&self, events: &[Recorded<'_, IgnoredAny>], tx: &mut Tx) -> Result<(), BoxError> {
        let changesets = events.iter().filter(|event| event.begins_changeset());
        let places: Vec<i64> =
            changesets.map(|event| i64::try_from(event.checkpoint().get())).collect::<Result<_, _>>()?;
        let before: i64 = sqlx::query_scalar(
            "UPDATE counted SET applications = applications + $1 RETURNING applications - $1",
        )
        .bind(i64::try_from(places.len())?)
        .fetch_one(tx.connection())
        .await?;
        sqlx::query(
            "INSERT INTO applications AS known SELECT place, 1, $2 + turn - 1
                FROM unnest($1::bigint[]) WITH ORDINALITY AS new (place, turn)
             ON CONFLICT (checkpoint) DO UPDATE SET times = known.times + 1",
        )
        .bind(places)
        .bind(before)
        .execute(tx.connection())
        .await?;
        Ok(())
    }
}

/// Registers both read models on this database. A new version of the files is built side by side.
///
/// # Errors
/// None, unless something else is registered under their names.
pub fn register(projector: &mut Projector, database: &Database, version: u32) -> Result<(), RegisterError> {
    let settings = Settings {
        // Small steps, so that one is running whenever a process is killed.
        batch_changesets_max: 200,
        new_version: NewVersion::SideBySide { verify: false },
        ..Settings::default()
    };
    projector.fold(FileTree { version }, database.clone(), settings)?;
    projector.projection(Applications, database.clone(), settings)
}
