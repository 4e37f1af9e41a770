//! The ready-made projections, and where their read models are.

use std::path::Path;

use async_trait::async_trait;
use ees_projections::StreamCatalogue;
use ees_projector::sqlite::Database;
use ees_projector::{OnFailure, Parking, Projector, Settings};
use ees_store::http::StatisticsSource;
use ees_store::{Error, Statistics};
use tempfile::TempDir;

use crate::exit::{Failure, Outcome};
use crate::place::{Backend, create_folder};

/// A file each, so that they don't wait for each other.
pub(super) struct ReadModels {
    statistics: Database,
    stream_catalogue: Database,
    /// The read models of a store in memory go with it.
    _folder: Option<TempDir>,
}

impl ReadModels {
    /// In files on this machine, also where the log is in PostgreSQL: so each server on one log has its own.
    pub(super) fn open(backend: &Backend, data: &Path) -> Outcome<Self> {
        let (folder, gone_with_us) = match backend {
            Backend::Memory => {
                let folder = tempfile::tempdir().map_err(|e| Failure::file("a temporary folder", &e))?;
                (folder.path().to_owned(), Some(folder))
            }
            _ => (data.join("read-models"), None),
        };
        create_folder(&folder)?;
        let open = |name: &str| Database::open(folder.join(format!("{name}.db"))).map_err(Failure::other);
        Ok(Self {
            statistics: open(ees_projections::Statistics::NAME)?,
            stream_catalogue: open(StreamCatalogue::NAME)?,
            _folder: gone_with_us,
        })
    }

    pub(super) fn register(&self, projector: &mut Projector) -> Outcome {
        let pausing = Settings::default();
        let parking = Settings { on_failure: OnFailure::Park(Parking::default()), ..Settings::default() };
        projector
            .fold(ees_projections::Statistics, self.statistics.clone(), pausing)
            .and_then(|()| projector.fold(StreamCatalogue, self.stream_catalogue.clone(), parking))
            .map_err(Failure::other)
    }

    /// What answers `GET /streams`.
    pub(super) fn statistics(&self) -> impl StatisticsSource + use<> {
        Counted(self.statistics.clone())
    }
}

struct Counted(Database);

#[async_trait]
impl StatisticsSource for Counted {
    async fn statistics(&self) -> ees_store::Result<Statistics> {
        let read = ees_projections::Statistics::read(&self.0).await;
        let (totals, version) = read
            .map_err(|source| Error::Storage { detail: "the statistics can't be read".to_owned(), source })?;
        Ok(Statistics {
            total_streams: totals.total_streams,
            total_changesets: totals.total_changesets,
            total_events: totals.total_events,
            max_stream_length: totals.max_stream_length,
            statistics_version: version.get(),
        })
    }
}
