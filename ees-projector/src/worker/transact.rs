//! One transaction of a step: begin, fence, work, commit.

use std::sync::Arc;
use std::time::Duration;

use crate::control::{Applied, Control, Position};
use crate::database::{Database, Fenced, TooLarge, Transaction};
use crate::projection::Projection;
use crate::worker::error::{StepError, chain};
use crate::worker::step::Core;

/// A transaction that takes longer waits for a database that is gone.
const STEP_MAX: Duration = Duration::from_secs(10 * 60);

fn too_long() -> StepError {
    let minutes = STEP_MAX.as_secs() / 60;
    StepError::Database(format!("the transaction was not done after {minutes} minutes").into())
}

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// Runs a piece of work in one transaction: fence, work, commit. `place` is what is blamed for a commit that the
    /// database refuses, if anything.
    pub(crate) async fn transact<W>(
        self: &Arc<Self>,
        from: &Control,
        to: Control,
        place: Option<Applied>,
        work: W,
    ) -> Result<(), StepError>
    where
        W: AsyncWork<D::Tx>,
    {
        let core = self.clone();
        let believed = from.position;
        let transaction = async move {
            let tx = core.database.begin().await.map_err(StepError::Database)?;
            core.fence_and_work(tx, believed, &to, place, work).await
        };
        self.run_in_time(transaction).await
    }

    /// As [`transact`](Self::transact), from wherever another worker's steps have taken the projection since it was
    /// `seen`, as long as nothing else has changed it. Holds the row first: a worker that makes one step after the other
    /// would always be faster than somebody who reads the row and then compares.
    pub(crate) async fn transact_wherever<W>(
        self: &Arc<Self>,
        seen: &Control,
        to: impl FnOnce(&Control) -> Control + Send + 'static,
        place: Option<Applied>,
        work: W,
    ) -> Result<Control, StepError>
    where
        W: AsyncWork<D::Tx>,
    {
        let core = self.clone();
        let (epoch, version) = (seen.position.epoch, seen.version);
        let transaction = async move {
            let mut tx = core.database.begin().await.map_err(StepError::Database)?;
            let there = tx.lock(core.key()).await.map_err(StepError::Database)?;
            let there = there.filter(|there| there.position.epoch == epoch && there.version == version);
            let there = there.ok_or(StepError::Fenced)?;
            let to = to(&there);
            core.fence_and_work(tx, there.position, &to, place, work).await?;
            Ok(to)
        };
        self.run_in_time(transaction).await
    }

    async fn run_in_time<T: Send + 'static>(
        &self,
        transaction: impl Future<Output = Result<T, StepError>> + Send + 'static,
    ) -> Result<T, StepError> {
        let in_time =
            async { tokio::time::timeout(STEP_MAX, transaction).await.unwrap_or_else(|_| Err(too_long())) };
        self.database.run(in_time).await.map_err(StepError::Database)?
    }

    async fn fence_and_work<W>(
        &self,
        mut tx: D::Tx,
        believed: Position,
        to: &Control,
        place: Option<Applied>,
        work: W,
    ) -> Result<(), StepError>
    where
        W: AsyncWork<D::Tx>,
    {
        // Fence before applying: a rival that stalled must lose here, not after its writes.
        let ours = tx.replace(self.key(), believed, to).await.map_err(StepError::Database)?;
        if !ours {
            return Err(StepError::Fenced);
        }
        work.run(&mut tx).await?;
        match (tx.commit().await, place) {
            (Ok(()), _) => Ok(()),
            (Err(error), _) if error.is::<Fenced>() => Err(StepError::Fenced),
            (Err(error), Some(place)) if error.is::<TooLarge>() => {
                Err(StepError::TooLarge { at: believed, place, error: chain(&*error) })
            }
            (Err(error), Some(place)) if !D::is_transient(&*error) => {
                Err(StepError::Failed { at: believed, place, error: chain(&*error) })
            }
            (Err(error), _) => Err(StepError::Database(error)),
        }
    }
}

/// Work inside a transaction. A trait, because a closure can't yet name that its future borrows the transaction and
/// is `Send`.
pub(crate) trait AsyncWork<Tx>: Send + 'static {
    fn run(self, tx: &mut Tx) -> impl Future<Output = Result<(), StepError>> + Send;
}

/// Nothing but the projection's own row.
pub(crate) struct OnlyControl;

impl<Tx: Send> AsyncWork<Tx> for OnlyControl {
    async fn run(self, _: &mut Tx) -> Result<(), StepError> {
        Ok(())
    }
}
