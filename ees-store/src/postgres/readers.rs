//! The connections that read, and whose turn it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use futures::future::BoxFuture;
use sqlx::PgPool;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use tokio::sync::Semaphore;

use super::Options;
use super::error::{Fate, failed};
use super::head::Head;
use super::server::{Server, begin};
use crate::{Error, Result};

/// A read that was not answered for so long counts as lost: its connection may lead nowhere.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A pool of connections, and the turns that lead to them.
pub(super) struct Readers {
    pool: PgPool,
    /// As many as connections. The pool has a queue too, but does not tell a full one from a server that is gone.
    turns: Semaphore,
    patience: Duration,
    pooled: bool,
}

impl Readers {
    /// A pool whose every new connection looks which server it met: one that was started anew may hold an older state.
    pub(super) fn new(
        server: &Server,
        Options { readers, patience, .. }: Options,
        head: &Arc<Head>,
    ) -> Arc<Self> {
        let (at_most, pooled, head) = (readers.max(1), server.pooled, head.clone());
        let pool = PgPoolOptions::new()
            .max_connections(at_most)
            .acquire_timeout(patience)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let head = head.clone();
                Box::pin(async move {
                    let mut tx = begin(connection, pooled).await?;
                    head.look(&mut tx).await?;
                    tx.commit().await
                })
            })
            .connect_lazy_with(server.options.clone());
        Arc::new(Self { pool, turns: Semaphore::new(at_most as usize), patience, pooled })
    }

    /// Asks something that may be asked again; after a lost connection it is, on another one. A pool that lost its server
    /// holds many that are dead.
    pub(super) async fn ask<Q: Sync, T>(&self, question: &Q, how: How<Q, T>) -> Result<T> {
        let turn = tokio::time::timeout(self.patience, self.turns.acquire());
        let _turn = turn.await.map_err(|_| Error::Overloaded)?;
        let begun = Instant::now();
        let again = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(500))
            .without_max_times()
            .with_jitter();
        (|| self.ask_once(question, how))
            .retry(again)
            .when(|error| {
                !matches!(error, sqlx::Error::PoolTimedOut)
                    && Fate::of(error) != Fate::Never
                    && begun.elapsed() < self.patience
            })
            .await
            .map_err(failed)
    }

    async fn ask_once<Q: Sync, T>(&self, question: &Q, how: How<Q, T>) -> sqlx::Result<T> {
        let mut connection = self.pool.acquire().await?;
        let asking = async {
            if !self.pooled {
                return how(question, &mut connection).await;
            }
            let mut tx = begin(&mut connection, true).await?;
            let answer = how(question, &mut tx).await?;
            tx.commit().await?;
            Ok(answer)
        };
        match tokio::time::timeout(ANSWER_MAX, asking).await {
            Ok(answer) => answer,
            Err(_) => {
                // Returned to the pool, it would wait there for an answer.
                drop(connection.detach());
                Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

/// How a question is asked. It borrows both, so what it needs is in the question.
type How<Q, T> = for<'a> fn(&'a Q, &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<T>>;
