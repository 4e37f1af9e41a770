//! The built-in projections, and the database of their read models.

use std::path::Path;

use async_trait::async_trait;
use ees_projections::StreamCatalogue;
use ees_projector::database::{Database, FoldRows};
#[cfg(feature = "dynamodb")]
use ees_projector::dynamodb;
#[cfg(feature = "postgres")]
use ees_projector::postgres;
use ees_projector::{NewVersion, OnFailure, Parking, Projector, Settings, sqlite};
#[cfg(feature = "sns")]
use ees_projector::{Reactor, reactor};
use ees_store::http::{StatisticsSource, StreamListSource};
use ees_store::{Checkpoint, Error, Statistics, StreamListPage, StreamListQuery};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::data_folder;
#[cfg(feature = "dynamodb")]
use crate::dynamodb_table::DynamoDbTable;
#[cfg(feature = "dynamodb")]
use crate::exit::Exit;
use crate::exit::{Failure, Outcome};

pub(super) enum ReadModels {
    /// One file for each projection, so that they don't wait for each other's writes.
    Sqlite {
        statistics: sqlite::Database,
        stream_catalogue: sqlite::Database,
        #[cfg(feature = "sns")]
        folder: std::path::PathBuf,
        /// Deleted with the server, for a store in memory.
        _folder: Option<TempDir>,
    },
    /// In one database, which several servers can share.
    #[cfg(feature = "postgres")]
    Postgres(postgres::Database),
    /// In one table, which several servers and functions can share.
    #[cfg(feature = "dynamodb")]
    DynamoDb(dynamodb::Database),
}

impl ReadModels {
    /// Opens the database at `url`. By default, uses the PostgreSQL database of the log, or else files in
    /// `data`.
    pub(super) async fn open(url: Option<&str>, backend: &Backend, data: &Path) -> Outcome<Self> {
        let chosen: Option<Backend> = match url {
            Some(url) => Some(url.parse().map_err(|failure: Failure| failure.at("--read-models"))?),
            None => None,
        };
        match chosen.as_ref().unwrap_or(backend) {
            #[cfg(feature = "postgres")]
            Backend::Postgres(url) => match postgres::Database::connect(url).await {
                Ok(database) => Ok(Self::Postgres(database)),
                Err(error) => Err(Failure::from(Error::Unavailable(error.to_string()))
                    .at(chosen.as_ref().unwrap_or(backend))),
            },
            Backend::Sqlite(folder) if chosen.is_some() => Self::in_files(folder, None),
            #[cfg(feature = "dynamodb")]
            Backend::DynamoDb(table) if chosen.is_some() => Self::in_table(table).await,
            #[cfg(feature = "dynamodb")]
            Backend::DynamoDb(_) => Self::in_files(&data.join("read-models"), None),
            Backend::Sqlite(_) => Self::in_files(&data.join("read-models"), None),
            Backend::Memory => {
                let folder = tempfile::tempdir().map_err(|e| Failure::file("a temporary folder", &e))?;
                let path = folder.path().to_owned();
                Self::in_files(&path, Some(folder))
            }
        }
    }

    /// Fails when there are read models of a log in a file, and the log is not there.
    pub(super) fn check_log_is_there(url: Option<&str>, backend: &Backend, data: &Path) -> Outcome {
        let Backend::Sqlite(log) = backend else { return Ok(()) };
        match url.map(str::parse) {
            None => data_folder::check_log_is_there(log, &data.join("read-models")),
            Some(Ok(Backend::Sqlite(folder))) => data_folder::check_log_is_there(log, &folder),
            Some(_) => Ok(()),
        }
    }

    fn in_files(folder: &Path, temporary: Option<TempDir>) -> Outcome<Self> {
        data_folder::create(folder)?;
        let open = |name: &str| {
            sqlite::Database::open_or_set_aside(folder.join(format!("{name}.db"))).map_err(Failure::other)
        };
        Ok(Self::Sqlite {
            statistics: open(ees_projections::Statistics::NAME)?,
            stream_catalogue: open(StreamCatalogue::NAME)?,
            #[cfg(feature = "sns")]
            folder: folder.to_owned(),
            _folder: temporary,
        })
    }

    /// Reads the table once, so that a missing table is an error now instead of an endless retry.
    #[cfg(feature = "dynamodb")]
    async fn in_table(table: &DynamoDbTable) -> Outcome<Self> {
        let client = dynamodb::aws_sdk_dynamodb::Client::new(&table.sdk_config().await);
        let database = dynamodb::Database::new(client, &table.name);
        match Box::pin(ees_projections::Statistics::read_dynamodb(&database)).await {
            Ok(_) => Ok(Self::DynamoDb(database)),
            Err(error) => {
                let advice =
                    format!("create one with `ees dynamodb create-table {} --read-models`", table.name);
                Err(Failure::new(Exit::Unavailable, "UNAVAILABLE", error).at(table).with_detail(advice))
            }
        }
    }

    pub(super) fn register(&self, projector: &mut Projector, settings: Settings) -> Outcome {
        match self {
            Self::Sqlite { statistics, stream_catalogue, .. } => {
                register(projector, settings, statistics.clone(), stream_catalogue.clone())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => register(projector, settings, database.clone(), database.clone()),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(database) => register(projector, settings, database.clone(), database.clone()),
        }
    }

    /// Keeps the position of the reactor in the database of the read models.
    #[cfg(feature = "sns")]
    pub(super) fn register_reactor(
        &self,
        projector: &mut Projector,
        reactor: impl Reactor,
        settings: reactor::Settings,
    ) -> Outcome {
        let registered = match self {
            Self::Sqlite { folder, .. } => {
                let path = folder.join(format!("{}.db", reactor.name()));
                let database = sqlite::Database::open(path).map_err(Failure::other)?;
                projector.reactor(reactor, database, settings)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => projector.reactor(reactor, database.clone(), settings),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(database) => projector.reactor(reactor, database.clone(), settings),
        };
        registered.map_err(Failure::other)
    }

    /// The source of `GET /streams`.
    pub(super) fn statistics(&self) -> impl StatisticsSource + use<> {
        match self {
            Self::Sqlite { statistics, .. } => Reader::Sqlite(statistics.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => Reader::Postgres(database.clone()),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(database) => Reader::DynamoDb(database.clone()),
        }
    }

    /// The source of `GET /stream-list`.
    pub(super) fn stream_list(&self) -> impl StreamListSource + use<> {
        match self {
            Self::Sqlite { stream_catalogue, .. } => Reader::Sqlite(stream_catalogue.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => Reader::Postgres(database.clone()),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(database) => Reader::DynamoDb(database.clone()),
        }
    }
}

fn register<D: Database<Tx: FoldRows>>(
    projector: &mut Projector,
    settings: Settings,
    statistics: D,
    stream_catalogue: D,
) -> Outcome {
    let pausing = Settings { new_version: NewVersion::SideBySide { verify: false }, ..settings };
    let parking = Settings { on_failure: OnFailure::Park(Parking::default()), ..pausing };
    projector
        .fold(ees_projections::Statistics, statistics, pausing)
        .and_then(|()| projector.fold(StreamCatalogue, stream_catalogue, parking))
        .map_err(Failure::other)
}

/// Reads a built-in read model from the database that it is in.
enum Reader {
    Sqlite(sqlite::Database),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Database),
    #[cfg(feature = "dynamodb")]
    DynamoDb(dynamodb::Database),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Reader {
    async fn totals(&self) -> Result<(ees_projections::Totals, Checkpoint), BoxError> {
        match self {
            Self::Sqlite(database) => ees_projections::Statistics::read(database).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => ees_projections::Statistics::read_postgres(database).await,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(database) => ees_projections::Statistics::read_dynamodb(database).await,
        }
    }

    async fn catalogue(&self, query: StreamListQuery) -> Result<Option<StreamListPage>, BoxError> {
        match self {
            Self::Sqlite(database) => StreamCatalogue::read(database, query).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => StreamCatalogue::read_postgres(database, query).await,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(database) => StreamCatalogue::read_dynamodb(database, query).await,
        }
    }

    /// What a failure of the database means for the caller.
    fn failure(&self, what: &str, source: BoxError) -> Error {
        #[cfg(feature = "postgres")]
        if postgres::is_missing_right(&*source) {
            return Error::Forbidden(format!("the server has no right to read {what}"));
        }
        let source = match source.downcast::<Error>() {
            Ok(refused) => return *refused,
            Err(source) => source,
        };
        if self.passes(&*source) {
            return Error::Unavailable(format!("cannot read {what}: {source}"));
        }
        Error::Storage { detail: format!("cannot read {what}"), source }
    }

    /// Whether the database is only locked, busy or away.
    fn passes(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        match self {
            Self::Sqlite(_) => sqlite::Database::is_transient(error),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => postgres::Database::is_transient(error),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => dynamodb::Database::is_transient(error),
        }
    }
}

#[async_trait]
impl StatisticsSource for Reader {
    async fn statistics(&self) -> ees_store::Result<Statistics> {
        let read = self.totals().await;
        let (totals, version) = read.map_err(|source| self.failure("the statistics", source))?;
        Ok(Statistics {
            total_streams: totals.total_streams,
            total_changesets: totals.total_changesets,
            total_events: totals.total_events,
            max_stream_length: totals.max_stream_length,
            statistics_version: version.get(),
        })
    }
}

#[async_trait]
impl StreamListSource for Reader {
    async fn streams(&self, query: StreamListQuery) -> ees_store::Result<Option<StreamListPage>> {
        let read = self.catalogue(query).await;
        read.map_err(|source| self.failure("the stream catalogue", source))
    }
}
