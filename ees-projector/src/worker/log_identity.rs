//! Checks that the log is still the one that was read before.

use ees_store::{Checkpoint, Error, LogHead, LogPage, LogQuery};
use uuid::Uuid;

use crate::database::Database;
use crate::projection_state::ProjectionState;
use crate::worker::batch::reference_to;
use crate::worker::core::Core;
use crate::worker::error::StepError;

const ADVICE: &str = "Check that the projector reads the right log; if the log really was replaced or restored, \
                      rebuild the projection";

/// The incarnation of the log that was checked last.
#[derive(Default)]
pub(crate) struct Verified(Option<Uuid>);

impl Verified {
    pub(crate) fn covers(&self, state: &ProjectionState, head: &LogHead) -> bool {
        self.0 == Some(head.incarnation)
            && state.log_id.is_none_or(|known| known == head.log_id)
            && state.position.next <= head.checkpoint
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn note(&mut self, head: &LogHead) {
        self.0 = Some(head.incarnation);
    }

    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }
}

impl<D: Database> Core<D> {
    /// Checks that the log is still the one that these rows were made from. Returns its end, which is read here, after
    /// the rows: a log that only grew never ends before them.
    pub(crate) async fn verified_head(
        &self,
        rows: impl IntoIterator<Item = &ProjectionState>,
    ) -> Result<LogHead, StepError> {
        let head = self.head().await?;
        for state in rows {
            self.verify(state, &head).await?;
        }
        Ok(head)
    }

    /// Checks that the log is still the one that was read before, and reaches at least as far. `head` must not be
    /// older than `state`.
    pub(crate) async fn verify(&self, state: &ProjectionState, head: &LogHead) -> Result<(), StepError> {
        if let Some(known) = state.log_id
            && known != head.log_id
        {
            let found = head.log_id;
            return Err(StepError::Replaced(format!(
                "this is another log: its id is {found}, and was {known} before. {ADVICE}"
            )));
        }
        if state.position.next > head.checkpoint {
            return Err(went_back(head, state.position.next));
        }
        let Some(last) = &state.last else { return Ok(()) };
        let page = self.log.read(LogQuery::from(last.checkpoint, 1)).await?;
        if page.changesets.first().map(reference_to).as_ref() == Some(last) {
            return Ok(());
        }
        if is_late(&page, last.checkpoint) {
            return Err(late(last.checkpoint));
        }
        let now =
            page.changesets.first().map(reference_to).filter(|found| found.checkpoint == last.checkpoint);
        let now = now.map_or_else(
            || "is nothing now".to_owned(),
            |now| format!("is changeset {} of stream \"{}\" now", now.changeset_id, now.stream_id),
        );
        Err(StepError::Replaced(format!(
            "the log went back: checkpoint {} was changeset {} of stream \"{}\" when it was applied, and {now}. \
             {ADVICE}",
            last.checkpoint, last.changeset_id, last.stream_id
        )))
    }
}

/// The log ends before what was read of it.
pub(crate) fn went_back(head: &LogHead, read: Checkpoint) -> StepError {
    StepError::Replaced(format!(
        "the log went back: it ends before checkpoint {}, and this projection has read up to {read}. {ADVICE}",
        head.checkpoint
    ))
}

/// Returns `true` if the log itself says that a changeset is there which it does not show yet. That is an
/// index that lags, as on DynamoDB, and not a log that went back.
pub(crate) fn is_late(page: &LogPage, checkpoint: Checkpoint) -> bool {
    page.changesets.is_empty() && page.next <= checkpoint && checkpoint < page.head.checkpoint
}

pub(crate) fn late(checkpoint: Checkpoint) -> StepError {
    StepError::Log(Error::Unavailable(format!("the log does not show checkpoint {checkpoint} yet")))
}
