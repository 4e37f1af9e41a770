//! Whether the log is still the one that was read before.

use ees_store::{Checkpoint, Error, LogHead, LogPage, LogQuery};
use uuid::Uuid;

use crate::control::Control;
use crate::database::Database;
use crate::projection::Projection;
use crate::worker::batch::place_of;
use crate::worker::error::StepError;
use crate::worker::step::Core;

/// Which incarnation of the log was found to be the one that was read before.
#[derive(Default)]
pub(crate) struct Verified(Option<Uuid>);

impl Verified {
    pub(crate) fn covers(&self, control: &Control, head: &LogHead) -> bool {
        self.0 == Some(head.incarnation)
            && control.log_id.is_none_or(|known| known == head.log_id)
            && control.position.next <= head.checkpoint
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

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Whether the log is still the one that was read before, and goes at least as far.
    pub(crate) async fn verify(&self, control: &Control, head: &LogHead) -> Result<(), StepError> {
        let advice = "Check that the projector reads the log it should; if the log really was replaced or restored, \
                      rebuild the projection";
        if let Some(known) = control.log_id
            && known != head.log_id
        {
            let found = head.log_id;
            return Err(StepError::Replaced(format!(
                "this is another log ({found}) than before ({known}). {advice}"
            )));
        }
        if control.position.next > head.checkpoint {
            return Err(StepError::Replaced(format!(
                "the log went back: it ends before checkpoint {}, and this projection has read up to {}. {advice}",
                head.checkpoint, control.position.next
            )));
        }
        let Some(last) = &control.last else { return Ok(()) };
        let page = self.log.read(LogQuery::from(last.checkpoint, 1)).await.map_err(StepError::Log)?;
        if page.changesets.first().map(place_of).as_ref() == Some(last) {
            return Ok(());
        }
        if is_late(&page, last.checkpoint) {
            return Err(late(last.checkpoint));
        }
        Err(StepError::Replaced(format!(
            "the log went back: checkpoint {} was changeset {} of stream \"{}\", and is not any more. {advice}",
            last.checkpoint, last.changeset_id, last.stream_id
        )))
    }
}

/// Whether the log says itself that something stands there which it does not show at the moment: an index that lags, as
/// DynamoDB's may, and no log that went back.
pub(crate) fn is_late(page: &LogPage, place: Checkpoint) -> bool {
    page.changesets.is_empty() && page.next <= place && place < page.head.checkpoint
}

pub(crate) fn late(place: Checkpoint) -> StepError {
    StepError::Log(Error::Unavailable(format!("it does not show checkpoint {place} yet")))
}
