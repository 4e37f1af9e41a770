//! A worker that carries out what operators ask for and runs no steps: other hosts run the projection.

use std::time::Duration;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::database::{Database, ParkedRows, Transaction};
use crate::status::State;
use crate::worker::error::StepError;
use crate::worker::operations::operation::{Action, OperateError, Operation};
use crate::worker::partitions::statuses;
use crate::worker::runner::Runner;

/// The longest time for what an operator asks for, from then on. Less than API Gateway waits for an answer (29 s).
const ACTION_MAX: Duration = Duration::from_secs(25);

impl<D: Database> Runner<D> {
    /// Carries out what operators ask for, until nobody can ask any more. To look at the projection changes nothing.
    ///
    /// What nobody waits for any more is left undone, and not begun: a function is frozen after its answer, and would go
    /// on with it at its next call, hours later perhaps, when the operator has decided otherwise.
    pub(crate) async fn attend(mut self, mut operations: mpsc::Receiver<Operation>) {
        self.lease.stays = false;
        while let Some(Operation { action, reason, asked, mut reply }) = operations.recv().await {
            // Others have run it since, and this process may have been frozen.
            self.state.forget();
            self.timers.unread();
            let done = tokio::select! {
                biased;
                () = reply.closed() => {
                    tracing::debug!(projection = self.core.name(), action = action.name(), "nobody waits for it");
                    None
                }
                done = Box::pin(self.attend_to(&action, &reason, asked)) => Some(done),
            };
            self.release_lease().await;
            self.claim.release();
            if let Some(done) = done {
                let _ = reply.send(done);
            }
        }
    }

    async fn attend_to(&mut self, action: &Action, reason: &str, asked: Instant) -> Result<(), OperateError> {
        if matches!(action, Action::Look) {
            self.look_on(asked).await;
            return Ok(());
        }
        in_time(asked, self.carry_out_however_often(action, reason)).await
    }

    /// Shows the projection as others have left it.
    async fn look_on(&mut self, asked: Instant) {
        let late = || StepError::Outside("the log or the read-model database does not answer".into());
        let seen = tokio::time::timeout_at(asked + ACTION_MAX, self.see()).await;
        if let Err(error) = seen.unwrap_or_else(|_| Err(late())) {
            self.fail(error).await;
        }
    }

    async fn see(&mut self) -> Result<(), StepError> {
        let core = self.core.clone();
        let found = self.core.read(move |tx| {
            async move {
                let Some(state) = tx.load(core.id()).await? else { return Ok(None) };
                let parked = tx.parked(core.id()).await?;
                let rows = match state.split {
                    Some(_) => tx.partitions(core.id(), false).await?,
                    None => Vec::new(),
                };
                Ok(Some((state, parked, rows)))
            }
            .boxed()
        });
        let Some((state, parked, rows)) = found.await? else {
            self.status.never_started();
            return Ok(());
        };
        if state.version != self.core.processor.version() {
            return Err(StepError::Absent);
        }
        let mut read: Vec<_> = rows.iter().map(|row| &row.state).collect();
        if read.is_empty() {
            read.push(&state);
        }
        let head = self.core.verified_head(read).await?;
        let shown = match state.split {
            Some(split) => state.with_partitions(split, &rows),
            None => state,
        };
        self.know_parked(parked);
        self.show_parked();
        self.status.see(&shown, head.checkpoint, statuses(&rows));
        self.record_success(match (&shown.pause, shown.position.next < head.checkpoint) {
            (Some(_), _) => State::Paused,
            (None, true) => State::CatchingUp,
            (None, false) => State::Following,
        });
        Ok(())
    }
}

/// Does work for an operator, in the time that there is since it was asked for.
pub(crate) async fn in_time<T>(
    asked: Instant,
    work: impl Future<Output = Result<T, OperateError>>,
) -> Result<T, OperateError> {
    tokio::time::timeout_at(asked + ACTION_MAX, work).await.unwrap_or_else(|_| Err(too_long()))
}

fn too_long() -> OperateError {
    let seconds = ACTION_MAX.as_secs();
    OperateError::Failed(format!(
        "this takes longer than the {seconds} s that it may take here. Look whether a part was done, and try again; or ask \
         a process that stays (`Projector`) with the same projection on the same database"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_waited_for_its_turn_has_so_much_less_time() {
        let asked = Instant::now() - ACTION_MAX;
        let late = in_time::<()>(asked, std::future::pending()).await.unwrap_err().to_string();
        assert!(late.contains("longer than the 25 s"), "{late}");
    }
}
