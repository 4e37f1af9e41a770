//! The connections that read, and whose turn it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use futures::future::BoxFuture;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;

use super::error::{Fate, failed};
use super::head::Head;
use super::options::Options;
use super::server::{Server, begin};
use crate::{Connections, Error, Result};

/// A read that was not answered for so long counts as lost: its connection may lead nowhere.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A connection that was idle for so long may have gone with its server.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// How long such a connection may take to answer.
const PING_MAX: Duration = Duration::from_secs(2);

/// The connections that are idle, and the turns that lead to them.
///
/// Not the driver's pool: that one asks the server whether it is there after each use, a third of what a
/// short read takes, and does not tell a full pool from a server that is gone.
pub(super) struct Readers {
    server: Server,
    head: Arc<Head>,
    /// With the time each was last used.
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    /// As many as connections.
    turns: Semaphore,
    turns_max: usize,
    patience: Duration,
}

impl Readers {
    pub(super) fn new(
        server: &Server,
        Options { readers, patience, .. }: Options,
        head: &Arc<Head>,
    ) -> Arc<Self> {
        let turns_max = readers.max(1) as usize;
        Arc::new(Self {
            server: server.clone(),
            head: head.clone(),
            idle: Mutex::default(),
            turns: Semaphore::new(turns_max),
            turns_max,
            patience,
        })
    }

    /// Asks something that may be asked again; after a lost connection it is, on another one.
    pub(super) async fn ask<Q: Sync, T>(&self, question: &Q, how: How<Q, T>) -> Result<T> {
        self.ask_in_part(question, how, |_| true).await
    }

    /// As [`ask`](Self::ask), but `how` may stop in the middle of an answer. `is_whole` tells whether it has read to the end;
    /// if not, the connection is closed.
    pub(super) async fn ask_in_part<Q: Sync, T>(
        &self,
        question: &Q,
        how: How<Q, T>,
        is_whole: fn(&T) -> bool,
    ) -> Result<T> {
        let turn = tokio::time::timeout(self.patience, self.turns.acquire());
        let _turn = turn.await.map_err(|_| Error::Overloaded)?;
        let begun = Instant::now();
        let again = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(500))
            .without_max_times()
            .with_jitter();
        (|| self.ask_once(question, how, is_whole))
            .retry(again)
            .when(|error| Fate::of(error) != Fate::Never && begun.elapsed() < self.patience)
            .await
            .map_err(failed)
    }

    /// A connection is put back only when it has answered in full: one that failed, or that was left in the
    /// middle of an answer (the caller has gone, or has enough), is closed.
    async fn ask_once<Q: Sync, T>(
        &self,
        question: &Q,
        how: How<Q, T>,
        is_whole: fn(&T) -> bool,
    ) -> sqlx::Result<T> {
        let asking = async {
            let idle = self.idle().pop();
            let mut connection = match idle {
                Some((connection, used)) => self.still(connection, used).await?,
                None => self.connect().await?,
            };
            let answer = if self.server.pooled {
                let mut tx = begin(&mut connection, true).await?;
                let answer = how(question, &mut tx).await?;
                if is_whole(&answer) {
                    tx.commit().await?;
                }
                answer
            } else {
                how(question, &mut connection).await?
            };
            Ok((connection, answer))
        };
        match tokio::time::timeout(ANSWER_MAX, asking).await.map_err(late) {
            Ok(Ok((connection, answer))) => {
                if is_whole(&answer) {
                    self.idle().push((connection, Instant::now()));
                }
                Ok(answer)
            }
            Err(error) | Ok(Err(error)) => {
                // A server that is gone took the others along: nobody shall find that out one by one.
                if Fate::of(&error) == Fate::Unknown {
                    self.idle().clear();
                }
                Err(error)
            }
        }
    }

    /// This connection, or another one if it leads nowhere by now.
    async fn still(&self, mut connection: PgConnection, used: Instant) -> sqlx::Result<PgConnection> {
        if used.elapsed() < IDLE_MAX {
            return Ok(connection);
        }
        match tokio::time::timeout(PING_MAX, connection.ping()).await {
            Ok(Ok(())) => Ok(connection),
            _ => self.connect().await,
        }
    }

    /// Looks at once which server it met: one that was started anew may hold an older state.
    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let connected = tokio::time::timeout(self.patience, self.server.connect()).await;
        let mut connection = connected.map_err(late)??;
        let mut tx = begin(&mut connection, self.server.pooled).await?;
        self.head.look(&mut tx).await?;
        tx.commit().await?;
        Ok(connection)
    }

    /// The connections at this moment.
    pub(super) fn connections(&self) -> Connections {
        let busy = self.turns_max.saturating_sub(self.turns.available_permits());
        Connections { busy, idle: self.idle().len() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(PgConnection, Instant)>> {
        // Whatever happened while it was locked, it is a list of connections.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late(_: Elapsed) -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// How a question is asked. It borrows both, so what it needs is in the question.
type How<Q, T> = for<'a> fn(&'a Q, &'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<T>>;
