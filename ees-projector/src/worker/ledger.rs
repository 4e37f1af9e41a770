//! A reactor's ledger in its own database: what is begun is committed first, by whoever's turn it is.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ees_store::Timestamp;
use futures::future::BoxFuture;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::database::{Database, LedgerRows, Transaction};
use crate::live::Live;
use crate::projection::{BoxError, Projection};
use crate::reactor::{Effect, EffectId, EffectState, Ended, Ledger, Unrecorded};
use crate::worker::error::{StepError, chain, uncommitted};
use crate::worker::lease::LOOK_EVERY;
use crate::worker::step::Core;
use crate::worker::transact::{AsyncWork, OnlyControl};

/// The ledger of a reactor as one of its workers writes it, as long as the reactor is this worker's.
pub(crate) struct Records<P: Projection<D::Tx>, D: Database> {
    core: Arc<Core<P, D>>,
    live: Arc<Live>,
    /// The reactor's row as this worker has left it: what is begun elsewhere than there is begun by nobody. Whoever
    /// moves it holds it for that long.
    row: RwLock<Control>,
    /// Nothing more is to be begun.
    is_over: AtomicBool,
    /// Why.
    trouble: Mutex<Option<StepError>>,
    end: WorkEnd,
}

/// When a worker begins nothing more, and lets what it has begun come to its end.
pub(crate) struct WorkEnd {
    pub(crate) stop: CancellationToken,
    /// Of a host that does not stay.
    pub(crate) deadline: Option<Instant>,
}

impl WorkEnd {
    fn is_here(&self) -> bool {
        self.stop.is_cancelled() || self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}

impl<P, D> Records<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    pub(crate) fn new(core: Arc<Core<P, D>>, live: Arc<Live>, row: Control, end: WorkEnd) -> Self {
        Self {
            core,
            live,
            row: RwLock::new(row),
            is_over: AtomicBool::new(false),
            trouble: Mutex::new(None),
            end,
        }
    }

    /// What came in the way, if anything did, whatever the reactor has made of it.
    pub(crate) fn trouble(&self) -> Result<(), StepError> {
        match self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(trouble) => Err(trouble),
            None if self.is_over.load(SeqCst) => Err(StepError::Fenced),
            None => Ok(()),
        }
    }

    /// Does that, and meanwhile keeps the lease where there is one. When somebody else moved the row, nothing more is begun;
    /// what is under way may end, since whoever goes on would do it again.
    pub(crate) async fn keeping<T>(&self, work: impl Future<Output = T>) -> Result<T, StepError> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            lost = self.until_lost() => Err(lost),
        }
    }

    async fn until_lost(&self) -> StepError {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let row = self.row.read().await;
            let kept = self.core.transact(&row, row.clone(), None, OnlyControl).await;
            drop(row);
            if let Err(StepError::Fenced) = kept {
                self.fails(StepError::Fenced);
                tokio::time::sleep(self.timeout()).await;
                return StepError::Fenced;
            }
        }
    }

    /// Changes something with the row, which other workers must look at again.
    pub(crate) async fn change(&self, work: impl AsyncWork<D::Tx>) -> Result<(), StepError> {
        let mut row = self.row.write().await;
        let moved = |there: &Control| there.moved(|_| {});
        *row = self.core.transact_wherever(&row, moved, None, work).await?;
        Ok(())
    }

    fn fails(&self, error: StepError) -> Unrecorded {
        tracing::debug!(reactor = self.core.name(), ?error, "nothing more is begun");
        self.is_over.store(true, SeqCst);
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        Unrecorded
    }

    async fn begin_now(&self, id: &EffectId) -> Result<Effect, StepError> {
        let row = self.row.read().await;
        let (core, believed, id) = (self.core.clone(), row.position, id.clone());
        let within = self.timeout();
        let begin = async move {
            let mut tx = core.database.begin_lasting().await.map_err(StepError::Database)?;
            let there = tx.lock(core.key()).await.map_err(StepError::Database)?;
            if there.is_none_or(|there| there.position != believed) {
                return Err(StepError::Fenced);
            }
            let begun = tx.begin_effect(core.name(), &id, Timestamp::now(), within).await;
            let begun = begun.map_err(uncommitted)?;
            tx.commit().await.map_err(uncommitted)?;
            Ok(begun)
        };
        self.core.database.run(begin).await.map_err(StepError::Database)?
    }

    async fn end_now(&self, id: &EffectId, ended: &Ended) -> Result<(), BoxError> {
        let (core, id, ended) = (self.core.clone(), id.clone(), ended.clone());
        let end = async move {
            let mut tx = core.database.begin_lasting().await?;
            tx.end_effect(core.name(), &id, &ended).await?;
            tx.commit().await
        };
        self.core.database.run(end).await?
    }

    async fn end_again_and_again(&self, id: &EffectId, ended: &Ended) -> Result<(), BoxError> {
        // It is done: a fault of the database must not be why it is done once more.
        for delay in self.core.settings.retry.delays() {
            match self.end_now(id, ended).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::debug!(error = chain(&*error), "the end of an effect is recorded again");
                    tokio::time::sleep(delay).await;
                }
            }
        }
        self.end_now(id, ended).await
    }
}

impl<P, D> Ledger for Records<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    fn begin<'a>(&'a self, id: &'a EffectId) -> BoxFuture<'a, Result<Effect, Unrecorded>> {
        Box::pin(async move {
            if self.is_over.load(SeqCst) {
                return Err(Unrecorded);
            }
            if self.end.is_here() {
                // What is done is in the ledger: whoever goes on does the rest.
                return Err(self.fails(StepError::Fenced));
            }
            self.begin_now(id).await.map_err(|error| self.fails(error))
        })
    }

    fn end<'a>(&'a self, id: &'a EffectId, ended: Ended) -> BoxFuture<'a, Result<(), Unrecorded>> {
        Box::pin(async move {
            self.live.update(|live| match ended.state {
                EffectState::Done => live.effects.done += 1,
                _ => live.effects.failed += 1,
            });
            let recorded = self.end_again_and_again(id, &ended).await;
            recorded.map_err(|error| self.fails(StepError::Database(error)))
        })
    }

    fn timeout(&self) -> Duration {
        let settings = self.core.projection.effects().map(|effects| *effects.settings());
        settings.unwrap_or_default().effect_timeout
    }
}
