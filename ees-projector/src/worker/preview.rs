//! Runs a version of a projection on the log into a place of its own, and tells in what its rows differ from those of
//! the live read model.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::{ChangesetId, Checkpoint, StreamId};
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, Transaction};
use crate::policy::{OnFailure, Parking};
use crate::preview::{FailedInPreview, Failures, PreviewOptions, ProjectionPreview, RowDifferences};
use crate::projection_state::{ParkedStream, ProjectionState};
use crate::read_model_id::Slot;
use crate::settings::Settings;
use crate::standby::{SideBySide, Standby};
use crate::worker::as_of::LeftOut;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::operations::operation::OperateError;
use crate::worker::operations::reads_segments;
use crate::worker::outcome::Stepped;
use crate::worker::runner::Runner;
use crate::worker::side_by_side::estimate::Estimate;
use crate::worker::worker_status::WorkerStatus;

/// What came of building the read model and comparing it.
struct Built {
    checkpoint: Checkpoint,
    /// Changesets and seconds.
    replayed: (u64, f64),
    /// `None`: too many streams have failed.
    rows: Option<RowDifferences>,
}

impl<D: Database> Core<D> {
    /// Builds the read model of this version, compares it with the live one and deletes it.
    pub(crate) async fn preview_rows(
        self: Arc<Self>,
        wanted: PreviewOptions,
        status: Arc<WorkerStatus>,
        stop: CancellationToken,
    ) -> Result<ProjectionPreview, OperateError> {
        if !D::PREVIEWS {
            return Err(OperateError::NotSupported(
                "this database can't tell in which rows two read models differ, so a projection on it can't be previewed: \
                 PostgreSQL and SQLite can",
            ));
        }
        let LeftOut { live, parked, .. } = self.left_out().await?;
        if live.split.is_some() {
            return Err(OperateError::Partitioned);
        }
        if live.segment.is_some() {
            return Err(reads_segments());
        }
        let head = self.verified_head([&live]).await?;
        let parked_streams = parked.len() as u64;
        let preview = Arc::new(self.for_preview(parked, wanted.failing_streams_max));
        let (mark, until) = (uuid::Uuid::new_v4().to_string(), live.position.next);
        let live = self.make_preview(preview.clone(), until, mark.clone()).await?;
        let mut runner = Runner::new(preview.clone(), status);
        runner.lease.stays = false;
        runner.stop = stop.clone();
        let built = runner.build_preview(until, &mark, wanted.samples).await;
        let failed = preview.parked().await;
        let bytes = preview.clone().size_bytes().await;
        let is_own = preview.end_preview(mark).await?;
        if !is_own || matches!(built, Err(StepError::Absent)) {
            return Err(OperateError::Failed(format!(
                "another preview of \"{}\" has begun and taken the place of this one",
                self.name()
            )));
        }
        if stop.is_cancelled() {
            return Err(OperateError::Failed(
                "the preview was interrupted; nothing of it is left".to_owned(),
            ));
        }
        let (Built { checkpoint, replayed, rows }, failed, bytes) = (built?, failed?, bytes?);
        Ok(ProjectionPreview {
            name: self.name().to_owned(),
            version: self.processor.version(),
            live_version: live.version,
            checkpoint: checkpoint.get(),
            head: head.checkpoint.get(),
            is_compared: rows.is_some(),
            rows: rows.unwrap_or_default(),
            failures: Failures::of(failed, wanted.samples),
            skipped: live.skips.len() as u64,
            parked_streams,
            rebuild: Estimate::of(head.checkpoint, Some(replayed), bytes),
        })
    }

    /// Returns the core of the preview. It goes on behind what fails, and leaves out what is parked in the live read
    /// model.
    fn for_preview(&self, parked: HashMap<StreamId, ChangesetId>, failing_max: usize) -> Self {
        let on_failure = OnFailure::Park(Parking {
            streams_max: failing_max,
            changesets_max: u64::MAX,
            ..Parking::default()
        });
        self.onto(Slot::Preview)
            .without_parked(parked)
            .with_settings(Settings { on_failure, ..self.settings })
    }

    /// Creates the tables and the row, in place of those of an earlier preview. Returns the live read model's row.
    async fn make_preview(
        self: &Arc<Self>,
        preview: Arc<Self>,
        until: Checkpoint,
        mark: String,
    ) -> Result<ProjectionState, StepError> {
        let core = self.clone();
        let made = self.write(move |tx| {
            async move {
                let mut live =
                    tx.lock(core.id()).await?.filter(|live| live.split.is_none()).ok_or(StepError::Absent)?;
                core.know_skips(tx, &mut live).await?;
                let plan = SideBySide { no_swap: true, ..SideBySide::default() };
                let plan = Standby { note: Some(mark), ..plan.into() };
                preview.make_standby(tx, plan, until, live.skips.clone(), None, false).await?;
                Ok(live)
            }
            .boxed()
        });
        made.await
    }

    /// Deletes the preview, unless another one has taken its place. Returns whether it was still there.
    async fn end_preview(self: &Arc<Self>, mark: String) -> Result<bool, StepError> {
        let (core, live) = (self.clone(), Arc::new(self.onto(Slot::Live)));
        let ended = live.write(move |tx| {
            async move {
                tx.lock(&core.live()).await?;
                let is_own = tx.load(core.id()).await?.is_some_and(|state| has_mark(&state, &mark));
                if is_own {
                    tx.discard(core.id()).await?;
                }
                Ok(is_own)
            }
            .boxed()
        });
        ended.await
    }

    async fn size_bytes(self: Arc<Self>) -> Result<Option<u64>, StepError> {
        let core = self.clone();
        self.read(move |tx| async move { Ok(tx.size_bytes(core.id()).await?) }.boxed()).await
    }

    async fn row_differences(
        self: Arc<Self>,
        mut snapshot: D::Tx,
        samples: usize,
    ) -> Result<RowDifferences, crate::BoxError> {
        let core = self.clone();
        // However long it takes.
        self.database
            .run(async move { snapshot.row_differences(&core.live(), core.id(), samples).await })
            .await?
    }
}

impl<D: Database> Runner<D> {
    /// Applies everything before a checkpoint, and then whatever the live read model has applied by then. Compares the
    /// two.
    async fn build_preview(
        &mut self,
        until: Checkpoint,
        mark: &str,
        samples: usize,
    ) -> Result<Built, StepError> {
        let began = Instant::now();
        let mut replayed = None;
        loop {
            if self.stop.is_cancelled() {
                return Err(StepError::Fenced);
            }
            let state = match self.load().await {
                Err(error @ StepError::Database(_)) => {
                    let pause: Duration = self.fail(error).await;
                    tokio::time::sleep(pause).await;
                    continue;
                }
                state => state?,
            };
            // A later preview has a row of the same name.
            if !has_mark(&state, mark) {
                return Err(StepError::Absent);
            }
            let checkpoint = state.position.next;
            if checkpoint >= until && replayed.is_none() {
                replayed = Some((checkpoint.get(), began.elapsed().as_secs_f64()));
            }
            if state.pause.is_some() {
                let replayed = (checkpoint.get(), began.elapsed().as_secs_f64());
                return Ok(Built { checkpoint, replayed, rows: None });
            }
            let done = match replayed {
                None => self.replay_some(&state, until).await.map(|()| None),
                Some(replayed) => self.meet_and_compare(samples).await.map(|found| Some((replayed, found))),
            };
            match done {
                Ok(None) => {}
                Ok(Some((replayed, (checkpoint, rows)))) => {
                    return Ok(Built { checkpoint, replayed, rows: Some(rows) });
                }
                Err(
                    StepError::Failed { changeset, error, .. } | StepError::TooLarge { changeset, error, .. },
                ) => {
                    self.state.forget();
                    let state = self.load().await?;
                    let parking = self.core.settings.parking();
                    self.park(state, parking, &changeset, 1, &error).await?;
                }
                // Transient. Acquiring the lease moves the epoch as well.
                Err(error @ (StepError::Log(_) | StepError::Database(_) | StepError::Fenced)) => {
                    let pause: Duration = self.fail(error).await;
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// As a rebuild does it, as long as that does not go too far.
    async fn replay_some(&mut self, state: &ProjectionState, until: Checkpoint) -> Result<(), StepError> {
        let Settings { span_changesets_max, batch_changesets_max, .. } = self.core.settings;
        let longest = span_changesets_max.max(batch_changesets_max) as u64;
        if until.get() - state.position.next.get() <= longest {
            self.step_to(until).await?;
            return Ok(());
        }
        match self.step().await? {
            Stepped::Moved | Stepped::Idle | Stepped::Paused => Ok(()),
            Stepped::Elsewhere | Stepped::Split(_) => Err(StepError::Absent),
        }
    }

    async fn meet_and_compare(&mut self, samples: usize) -> Result<(Checkpoint, RowDifferences), StepError> {
        let (snapshot, checkpoint) = self.meet_live().await?;
        let rows = self.with_lease_kept(self.core.clone().row_differences(snapshot, samples)).await?;
        Ok((checkpoint, rows))
    }
}

/// Whether this is the row of the preview with this mark.
fn has_mark(state: &ProjectionState, mark: &str) -> bool {
    state.standby.as_ref().and_then(|plan| plan.note.as_deref()) == Some(mark)
}

impl Failures {
    fn of(mut failed: Vec<ParkedStream>, samples: usize) -> Self {
        let (streams, changesets) =
            (failed.len() as u64, failed.iter().map(|stream| stream.changesets).sum());
        failed.sort_by_key(|stream| stream.since);
        let samples = failed.into_iter().take(samples).map(|stream| FailedInPreview {
            stream_id: stream.stream_id,
            changeset_id: stream.first,
            error: stream.error,
        });
        Self { streams, changesets, samples: samples.collect() }
    }
}
