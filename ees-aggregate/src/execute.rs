//! Executes a command: hydrate, decide, commit; after a conflict, read the new changesets and decide again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use ees_store::{
    ChangesetId, Commit, Committed, Error as StoreError, Events, Expectation, IdempotencyKey, InvalidJson,
    Json, Refusal, StreamId,
};

use crate::snapshots::cache::Due;
use crate::spans;
use crate::turns::Turn;
use crate::{Aggregate, Context, ExecuteError, Loaded, Repository};

/// The maximum number of retries of a commit of which it is unknown whether it was stored.
const REPEATS: usize = 3;

/// The result of a command.
#[derive(Debug)]
#[non_exhaustive]
pub struct Executed<A: Aggregate> {
    /// The aggregate after the command.
    pub aggregate: Loaded<A>,
    /// The decided events; empty if there was nothing to do.
    pub events: Vec<A::Event>,
    /// The changeset that holds the events; for a retry with the same key, the one of the first execution.
    /// `None` if there was nothing to do.
    pub committed: Option<Committed>,
}

impl<A: Aggregate> Repository<A> {
    /// Executes a command without metadata.
    ///
    /// It loads the aggregate, lets it decide, and commits the events in one changeset. After a conflict it
    /// reads the new changesets only and decides again; after [a number of retries](Repository::with_retries)
    /// the conflict is an error. Conflicting commands of one process take turns, over all clones of the
    /// repository. If the answer to a commit is lost, it retries with the same idempotency key, so that the
    /// events are stored once.
    ///
    /// # Errors
    /// [`ExecuteError`].
    ///
    /// # Cancellation
    /// The events of a dropped call may be stored, or not. Use an idempotency key of your own to retry it:
    /// see [`execute_with`](Repository::execute_with).
    pub async fn execute(
        &self,
        id: &StreamId,
        command: &A::Command,
    ) -> Result<Executed<A>, ExecuteError<A::Error>> {
        self.execute_with(id, command, Context::new()).await
    }

    /// Executes a command with metadata (correlation, causation, user) or with an idempotency key.
    ///
    /// ```
    /// # use ees_aggregate::{Aggregate, Context, ExecuteError, Metadata, Repository};
    /// # async fn f<A: Aggregate>(all: Repository<A>, command: A::Command) -> Result<(), Box<dyn std::error::Error>>
    /// # where A::Error: 'static {
    /// let context = Context::new()
    ///     .with_metadata(Metadata::new().user("ada").correlation_id("request-17"))
    ///     .with_key("request-17".parse()?);
    /// all.execute_with(&"account/ada".parse()?, &command, context).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`execute`](Repository::execute).
    pub async fn execute_with(
        &self,
        id: &StreamId,
        command: &A::Command,
        context: impl Into<Context> + Send,
    ) -> Result<Executed<A>, ExecuteError<A::Error>> {
        let (context, span) = (context.into(), spans::execute(A::TYPE));
        let executed = span.run(self.execute_within(id, command, context)).await;
        spans::executed(&span, &executed);
        executed
    }

    async fn execute_within(
        &self,
        id: &StreamId,
        command: &A::Command,
        context: Context,
    ) -> Result<Executed<A>, ExecuteError<A::Error>> {
        let turn = self.turns.after_others(id).await;
        let hydrated = self.hydrator().up_to(id, None).await?;
        let executed = self.decide_and_commit(hydrated.loaded, command, &context, turn).await;
        // Not before the commit: meanwhile others could have come first.
        self.keep_snapshot(hydrated.due).await;
        executed
    }

    async fn decide_and_commit(
        &self,
        mut now: Loaded<A>,
        command: &A::Command,
        context: &Context,
        mut turn: Option<Turn<'_>>,
    ) -> Result<Executed<A>, ExecuteError<A::Error>> {
        let metadata = context.json()?;
        let key = context.key.clone().unwrap_or_else(IdempotencyKey::random);
        let mut pauses = pauses(Duration::from_millis(5), Duration::from_millis(500), self.retries);
        let mut attempts = 0;
        loop {
            let events = match now.state.decide(command) {
                Ok(events) => events,
                Err(refusal) => return Err(self.refused(refusal, &now, context).await),
            };
            if events.is_empty() {
                return Ok(Executed { aggregate: now, events, committed: None });
            }
            attempts += 1;
            match self.commit(self.to_commit(&now, &events, &metadata, &key)?).await {
                Ok(committed) => return self.carried_out(now, events, committed).await,
                Err(StoreError::Refused(Refusal::Conflict { .. })) => {}
                Err(StoreError::Refused(Refusal::KeyReused)) => {
                    return Err(ExecuteError::AlreadyExecuted { stream_id: now.stream_id });
                }
                Err(error) => return Err(error.into()),
            }
            let Some(pause) = pauses.next() else {
                return Err(ExecuteError::Conflict { stream_id: now.stream_id, attempts });
            };
            tracing::debug!(stream = %now.stream_id, attempts, ?pause, "conflict; deciding again");
            match turn {
                None if attempts == 1 => turn = self.turns.take(&now.stream_id).await,
                // With a turn, it is another process that was faster.
                _ => tokio::time::sleep(pause).await,
            }
            self.hydrator().follow(&mut now, None).await?;
        }
    }

    fn to_commit(
        &self,
        now: &Loaded<A>,
        events: &[A::Event],
        metadata: &Json,
        key: &IdempotencyKey,
    ) -> Result<Commit, InvalidJson> {
        let expectation = match now.changeset_id {
            ChangesetId::NONE => Expectation::NewStream,
            last => Expectation::LastChangeset(last),
        };
        let mut texts = Vec::with_capacity(events.len());
        for event in events {
            let text = Json::of(event)?;
            texts.push(self.reading.upcasters().stamped(text.as_str()).into_owned());
        }
        let events = Events::parse(&format!("[{}]", texts.join(",")))?;
        let commit = Commit::new(now.stream_id.clone(), expectation, events)
            .with_metadata(metadata.clone())?
            .with_idempotency_key(key.clone());
        // A stream that was begun without a type takes none later.
        match now.exists() && now.stream_type.is_none() {
            true => Ok(commit),
            false => Ok(commit.with_stream_type(self.stream_type.clone())),
        }
    }

    /// Sends a commit, again when it is unknown whether it was stored: it has a key, and the store takes it
    /// once.
    async fn commit(&self, commit: Commit) -> ees_store::Result<Committed> {
        let mut pauses = pauses(Duration::from_millis(100), Duration::from_secs(1), REPEATS);
        loop {
            let error = match self.store.commit(commit.clone()).await {
                Err(error) if error.is_transient() => error,
                decided => return decided,
            };
            let Some(pause) = pauses.next() else { return Err(error) };
            tracing::debug!(stream = %commit.stream_id, %error, ?pause, "retrying the commit with the same key");
            tokio::time::sleep(pause).await;
        }
    }

    async fn carried_out(
        &self,
        mut now: Loaded<A>,
        events: Vec<A::Event>,
        committed: Committed,
    ) -> Result<Executed<A>, ExecuteError<A::Error>> {
        if committed.changeset_id == now.changeset_id.next() {
            if !now.exists() {
                now.stream_type = Some(self.stream_type.clone());
            }
            events.iter().for_each(|event| now.state.apply(event));
            now.changeset_id = committed.changeset_id;
            now.event_id = now.event_id.plus(events.len() as u64);
        } else {
            // A repeat: what it did lies further back, or was read already.
            self.hydrator().follow(&mut now, None).await?;
        }
        Ok(Executed { aggregate: now, events, committed: Some(committed) })
    }

    /// A refusal, unless it comes only because the command was carried out before under the caller's key.
    async fn refused(&self, refusal: A::Error, now: &Loaded<A>, context: &Context) -> ExecuteError<A::Error> {
        let was_executed = match &context.key {
            Some(key) => self.is_used(key, &now.stream_id).await,
            None => Ok(false),
        };
        match was_executed {
            Ok(true) => ExecuteError::AlreadyExecuted { stream_id: now.stream_id.clone() },
            Ok(false) => ExecuteError::Refused(refusal),
            // A caller that gets a refusal does not retry, and the command may have been executed.
            Err(error) => error.into(),
        }
    }

    /// Asks the store for a key, by a commit that it can only refuse: it looks at the key first, and no
    /// stream is that long.
    async fn is_used(&self, key: &IdempotencyKey, stream_id: &StreamId) -> ees_store::Result<bool> {
        let Ok(events) = Events::parse(r#"["is this key used?"]"#) else { return Ok(false) };
        let never = Expectation::LastChangeset(ChangesetId::MAX);
        let question = Commit::new(stream_id.clone(), never, events).with_idempotency_key(key.clone());
        match self.commit(question).await {
            Err(StoreError::Refused(refusal)) => Ok(refusal == Refusal::KeyReused),
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn keep_snapshot(&self, due: Option<Due>) {
        if let (Some(cache), Some(due)) = (&self.cache, due) {
            cache.keep(&due).await;
        }
    }
}

/// Growing pauses, each longer by chance, so that those who collided don't again.
fn pauses(first: Duration, longest: Duration, count: usize) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_max_times(count)
        .build()
}
