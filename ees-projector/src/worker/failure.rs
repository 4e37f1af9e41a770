//! What a worker does when a step fails: wait and retry, or let the policy decide.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ees_store::Timestamp;

use crate::database::Database;
use crate::error::chain;
use crate::policy::OnFailure;
use crate::projection_state::{ChangesetRef, FailedChangeset, Pause, PausedBy, Position, ProjectionState};
use crate::status::{Failure, State};
use crate::worker::core::no_work;
use crate::worker::error::StepError;
use crate::worker::runner::{Runner, Trouble};

impl<D: Database> Runner<D> {
    /// Records a failure and returns the delay before the next step.
    pub(crate) async fn fail(&mut self, error: StepError) -> Duration {
        self.state.forget();
        let core = self.core.clone();
        let name = core.name();
        let (failed, message) = match error {
            StepError::Failed { at, changeset, error } | StepError::TooLarge { at, changeset, error } => {
                (Some((at, changeset)), error)
            }
            StepError::Fenced => {
                tracing::debug!(
                    projection = name,
                    "another worker moved the projection; reading its row again"
                );
                return self.core.settings.retry.delay_min;
            }
            StepError::Absent => {
                self.forget_partitions().await;
                self.status.update(|status| {
                    status.state = State::Absent;
                    status.recovers();
                });
                return self.until_next_look();
            }
            StepError::Log(error) if !error.is_transient() => return self.stop_with(&log_error(&error)),
            StepError::Log(error) => (None, log_error(&error)),
            StepError::Database(error) => {
                (None, format!("the read-model database failed: {}", chain(&*error)))
            }
            StepError::Outside(error) => (None, chain(&*error)),
            StepError::ClaimedElsewhere(error) => {
                if let Ok(row) = self.stored().await {
                    self.show(&row);
                }
                return self.stop_with(&error);
            }
            StepError::Replaced(error)
            | StepError::WouldDrop(error)
            | StepError::Setup(error)
            | StepError::NotSwapped(error) => {
                return self.stop_with(&error);
            }
        };
        let changeset = failed.as_ref().map(|(_, changeset)| changeset.clone());
        let attempts = self.note_failure(changeset.as_ref(), &message, State::Retrying);
        self.status.figures().retries.fetch_add(1, Relaxed);
        let at = changeset.as_ref().map(|changeset| changeset.checkpoint.get());
        tracing::warn!(projection = name, attempts, checkpoint = at, error = message, "a step failed");
        match self.trouble.as_mut().and_then(|trouble| trouble.delays.next()) {
            Some(delay) => delay,
            None => match failed {
                Some((at, changeset)) => self.give_up(at, changeset, attempts, message).await,
                None => self.core.settings.retry.delay_max,
            },
        }
    }

    /// Stops. A retry would not help, but the worker checks again from time to time.
    fn stop_with(&mut self, error: &str) -> Duration {
        tracing::error!(projection = self.core.name(), error, "the projection is stopped");
        self.note_failure(None, error, State::Stopped);
        self.core.settings.retry.delay_max
    }

    fn note_failure(&mut self, changeset: Option<&ChangesetRef>, message: &str, state: State) -> u32 {
        let same = self.trouble.as_ref().is_some_and(|trouble| trouble.changeset.as_ref() == changeset);
        if !same {
            let retry = self.core.settings.retry;
            let delays = if changeset.is_some() { retry.delays() } else { retry.delays_without_end() };
            self.trouble = Some(Trouble { changeset: changeset.cloned(), attempts: 0, delays });
        }
        let attempts = self.trouble.as_mut().map_or(1, |trouble| {
            trouble.attempts = trouble.attempts.saturating_add(1);
            trouble.attempts
        });
        let failure = Failure {
            message: message.to_owned(),
            at: Timestamp::now(),
            attempts,
            checkpoint: changeset.map(|changeset| changeset.checkpoint),
            stream_id: changeset.map(|changeset| changeset.stream_id.clone()),
            changeset_id: changeset.map(|changeset| changeset.changeset_id),
        };
        self.status.update(|status| {
            status.state = state;
            status.fails(failure);
        });
        attempts
    }

    /// What is done with a changeset that still fails.
    fn on_failure(&self, state: &ProjectionState) -> OnFailure {
        match state.may_park(self.core.partition()) {
            true => self.core.settings.on_failure,
            false => OnFailure::Pause,
        }
    }

    /// Lets the policy decide about a changeset that still fails after the last retry.
    async fn give_up(
        &mut self,
        at: Position,
        changeset: ChangesetRef,
        attempts: u32,
        message: String,
    ) -> Duration {
        let result = match self.take_state().await {
            // Another worker has passed it meanwhile, or an operator moved the projection.
            Ok(state) if state.position != at => Err(StepError::Fenced),
            Ok(state) => match self.on_failure(&state) {
                OnFailure::Park(parking) => self.park(state, parking, &changeset, attempts, &message).await,
                OnFailure::Pause => self.pause_at(state, &changeset, attempts, message).await,
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {
                self.trouble = None;
                Duration::ZERO
            }
            Err(StepError::Fenced) => {
                self.trouble = None;
                self.core.settings.retry.delay_min
            }
            Err(error) => {
                tracing::warn!(
                    projection = self.core.name(),
                    ?error,
                    "the pause or the parked stream could not be stored; retrying"
                );
                self.core.settings.retry.delay_max
            }
        }
    }

    pub(super) async fn pause_at(
        &mut self,
        state: ProjectionState,
        changeset: &ChangesetRef,
        attempts: u32,
        reason: String,
    ) -> Result<(), StepError> {
        let name = self.core.name();
        tracing::error!(
            projection = name, checkpoint = changeset.checkpoint.get(), stream = %changeset.stream_id,
            changeset = changeset.changeset_id.get(), attempts, error = reason,
            "the projection is paused: fix the cause and resume it, or skip the changeset"
        );
        let failure = FailedChangeset {
            checkpoint: changeset.checkpoint,
            stream_id: changeset.stream_id.clone(),
            changeset_id: changeset.changeset_id,
            attempts,
        };
        let pause = Pause { by: PausedBy::Failure, reason, since: Timestamp::now(), failure: Some(failure) };
        let paused = state.moved(|state| state.pause = Some(pause));
        self.commit(state, paused, no_work).await
    }
}

fn log_error(error: &ees_store::Error) -> String {
    format!("the log can't be read: {}", chain(error))
}
