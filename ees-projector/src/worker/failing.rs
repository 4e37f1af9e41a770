//! What a worker does when a step fails: wait and try again, or let the policy decide.

use std::time::Duration;

use ees_store::Timestamp;

use crate::control::{Applied, Control, FailedChangeset, Pause, PausedBy, Position};
use crate::database::Database;
use crate::policy::OnFailure;
use crate::projection::Projection;
use crate::status::{Failure, State};
use crate::worker::error::{StepError, chain};
use crate::worker::runner::{Runner, Trouble};
use crate::worker::transact::OnlyControl;

impl<P, D> Runner<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Notes a failure, and says how long to wait before the next step.
    pub(crate) async fn fail(&mut self, error: StepError) -> Duration {
        self.control = None;
        let core = self.core.clone();
        let name = core.name();
        let (failed, message) = match error {
            StepError::Failed { at, place, error } | StepError::TooLarge { at, place, error } => {
                (Some((at, place)), error)
            }
            StepError::Fenced => {
                tracing::debug!(
                    projection = name,
                    "another worker moved this projection; reading its row again"
                );
                return self.core.settings.retry.delay_min;
            }
            StepError::Absent => {
                self.live.update(|live| {
                    live.state = State::Absent;
                    live.recovers();
                });
                return self.until_next_look();
            }
            StepError::Log(error) if !error.is_transient() => return self.stop(&log_error(&error)),
            StepError::Log(error) => (None, log_error(&error)),
            StepError::Database(error) => {
                (None, format!("the read model's database failed: {}", chain(&*error)))
            }
            StepError::Outside(error) => (None, chain(&*error)),
            StepError::Replaced(error) | StepError::Setup(error) => return self.stop(&error),
        };
        let place = failed.as_ref().map(|(_, place)| place.clone());
        let attempts = self.note_failure(place.as_ref(), &message, State::Retrying);
        let at = place.as_ref().map(|place| place.checkpoint.get());
        tracing::warn!(projection = name, attempts, checkpoint = at, error = message, "a step failed");
        match self.trouble.as_mut().and_then(|trouble| trouble.delays.next()) {
            Some(delay) => delay,
            None => match failed {
                Some((at, place)) => self.give_up(at, place, attempts, message).await,
                None => self.core.settings.retry.delay_max,
            },
        }
    }

    /// Nothing will get better by itself; it looks again now and then all the same.
    fn stop(&mut self, error: &str) -> Duration {
        tracing::error!(projection = self.core.name(), error, "the projection can't go on");
        self.note_failure(None, error, State::Stopped);
        self.core.settings.retry.delay_max
    }

    fn note_failure(&mut self, place: Option<&Applied>, message: &str, state: State) -> u32 {
        let same = self.trouble.as_ref().is_some_and(|trouble| trouble.place.as_ref() == place);
        if !same {
            let retry = self.core.settings.retry;
            let delays = if place.is_some() { retry.delays() } else { retry.delays_without_end() };
            self.trouble = Some(Trouble { place: place.cloned(), attempts: 0, delays });
        }
        let attempts = self.trouble.as_mut().map_or(1, |trouble| {
            trouble.attempts = trouble.attempts.saturating_add(1);
            trouble.attempts
        });
        let failure = Failure {
            message: message.to_owned(),
            at: Timestamp::now(),
            attempts,
            checkpoint: place.map(|place| place.checkpoint),
            stream_id: place.map(|place| place.stream_id.clone()),
            changeset_id: place.map(|place| place.changeset_id),
        };
        self.live.update(|live| {
            live.state = state;
            live.fails(failure);
        });
        attempts
    }

    /// The changeset failed for good: the policy decides.
    async fn give_up(&mut self, at: Position, place: Applied, attempts: u32, message: String) -> Duration {
        let result = match self.load().await {
            // Another worker got past it meanwhile, or was told to do something else.
            Ok(control) if control.position != at => Err(StepError::Fenced),
            Ok(control) => match self.core.settings.on_failure {
                OnFailure::Park(parking) => self.park(control, parking, &place, attempts, &message).await,
                OnFailure::Pause => self.pause_at(control, &place, attempts, message).await,
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
                self.control = None;
                self.core.settings.retry.delay_min
            }
            Err(error) => {
                tracing::warn!(projection = self.core.name(), ?error, "the failure could not be stored");
                self.control = None;
                self.core.settings.retry.delay_max
            }
        }
    }

    pub(crate) async fn pause_at(
        &mut self,
        control: Control,
        place: &Applied,
        attempts: u32,
        reason: String,
    ) -> Result<(), StepError> {
        let name = self.core.name();
        tracing::error!(
            projection = name, checkpoint = place.checkpoint.get(), stream = %place.stream_id,
            changeset = place.changeset_id.get(), attempts, error = reason,
            "the projection is paused: fix it and resume, or skip the changeset"
        );
        let failure = FailedChangeset {
            checkpoint: place.checkpoint,
            stream_id: place.stream_id.clone(),
            changeset_id: place.changeset_id,
            attempts,
        };
        let pause = Pause { by: PausedBy::Failure, reason, since: Timestamp::now(), failure: Some(failure) };
        let paused = control.moved(|control| control.pause = Some(pause));
        self.core.transact(&control, paused.clone(), None, OnlyControl).await?;
        self.place(paused);
        Ok(())
    }
}

fn log_error(error: &ees_store::Error) -> String {
    format!("the log can't be read: {}", chain(error))
}
