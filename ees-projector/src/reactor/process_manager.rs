//! Process managers: reactors whose effects are commits to other streams.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use ees_store::event::Upcasters;
use ees_store::spans::Span;
use ees_store::{
    ChangesetId, Commit, Error, EventStore, Events, Expectation, IdempotencyKey, Json, Refusal, StreamId,
    StreamType, TraceContext,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::BoxError;
use crate::reactor::{Cause, PermanentError, Reactor};
use crate::subscription::Subscription;

/// How often a commit without an expectation is retried because others append to the stream at the same time.
/// After that, the effect fails and is retried like any other.
const CONFLICTS_MAX: usize = 40;

/// Events that follow from another event, and the stream to commit them to.
///
/// ```
/// use ees_projector::process_manager::Append;
/// use ees_store::Expectation;
/// let ordered = Append::of("order/17".parse()?, &[serde_json::json!({"type": "ordered", "pieces": 100})])?
///     .expecting(Expectation::NewStream);
/// # let _ = ordered;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Append {
    stream_id: StreamId,
    events: Events,
    expectation: Option<Expectation>,
    stream_type: Option<StreamType>,
}

impl Append {
    /// Appends these events to the end of the stream.
    pub fn new(stream_id: StreamId, events: Events) -> Self {
        Self { stream_id, events, expectation: None, stream_type: None }
    }

    /// Like [`new`](Self::new), for events that implement `Serialize`.
    ///
    /// # Errors
    /// [`InvalidJson`](ees_store::InvalidJson) if there are no events, or one has no JSON form.
    pub fn of<T: serde::Serialize>(
        stream_id: StreamId,
        events: &[T],
    ) -> Result<Self, ees_store::InvalidJson> {
        Ok(Self::new(stream_id, Events::of(events)?))
    }

    /// Commits only if this is the end of the stream. Otherwise the commit is refused, and the stream of the
    /// causing event is given up.
    #[must_use]
    pub fn expecting(self, expectation: Expectation) -> Self {
        Self { expectation: Some(expectation), ..self }
    }

    /// Sets the stream type, for the first commit of a stream.
    #[must_use]
    pub fn with_stream_type(self, stream_type: StreamType) -> Self {
        Self { stream_type: Some(stream_type), ..self }
    }
}

/// A process manager: a function from an event to the commits that follow from it. Each commit is made once.
///
/// If the decision needs a query or an aggregate, write a [`Reactor`] of your own and pass [`Cause::key`] to
/// the repository as the idempotency key.
///
/// # Guarantees
/// - Each commit is made once. The ledger records it, and the store recognizes a repetition after a crash by
///   the idempotency key ([`Cause::key`] of `commit/0`, `commit/1`, ...), which it keeps for at least 7 days.
///   An [expectation](Append::expecting) protects for longer.
/// - The function must be deterministic: it is called again after a crash, and must return the same commits
///   in the same order for the same event.
/// - The commits belong to the trace of the event's commit, if that has one.
/// - The metadata names the origin: `correlation_id` and `user` of the event's changeset, and that changeset
///   as `causation_id` (`STREAM@NUMBER`). Without a `correlation_id`, it starts one.
///
/// ```
/// use std::sync::Arc;
/// use ees_projector::process_manager::{Append, CommitReactor};
/// use ees_projector::reactor::Cause;
///
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Stock { SoldOut { product: String } }
///
/// let store = Arc::new(ees_store::memory::Store::new());
/// let order_more = CommitReactor::new("order_more", store, |cause: &Cause<'_, Stock>| {
///     let Stock::SoldOut { product } = cause.event;
///     let order = format!("order/{product}/{}", cause.event_id).parse().ok()?;
///     Append::of(order, &[serde_json::json!({"type": "ordered", "pieces": 100})]).ok()
/// });
/// # let _ = order_more;
/// ```
pub struct CommitReactor<E, F> {
    name: String,
    store: Arc<dyn EventStore>,
    follow: F,
    subscription: Subscription,
    upcasters: Upcasters,
    events: PhantomData<fn() -> E>,
}

impl<E, F, I> CommitReactor<E, F>
where
    E: DeserializeOwned + Send + Sync + 'static,
    F: Fn(&Cause<'_, E>) -> I + Send + Sync + 'static,
    I: IntoIterator<Item = Append>,
{
    /// Creates a process manager that commits to this store. `follow` returns the commits that follow from an
    /// event, as an `Option` or a `Vec`.
    pub fn new(name: impl Into<String>, store: Arc<dyn EventStore>, follow: F) -> Self {
        let (subscription, upcasters) = Default::default();
        Self { name: name.into(), store, follow, subscription, upcasters, events: PhantomData }
    }
}

impl<E, F> CommitReactor<E, F> {
    /// Sets which changesets it reacts to, and how it reads their events. Default: all changesets.
    #[must_use]
    pub fn with_subscription(self, subscription: Subscription) -> Self {
        Self { subscription, ..self }
    }

    /// Marks the events that it commits with the current versions of their types.
    #[must_use]
    pub fn with_upcasters(self, upcasters: Upcasters) -> Self {
        Self { upcasters, ..self }
    }

    /// Makes one commit and returns the id of its changeset.
    async fn commit(
        &self,
        append: Append,
        key: &str,
        metadata: Json,
        trace: Option<TraceContext>,
    ) -> Result<ChangesetId, BoxError> {
        let Append { stream_id, events, expectation, stream_type } = append;
        let events = stamped(&self.upcasters, events)?;
        // The effect's span, where it is recorded: that is a child of the commit's.
        let trace = Span::current().or(trace);
        let commit = |expectation| -> Result<Commit, BoxError> {
            let commit = Commit::new(stream_id.clone(), expectation, events.clone());
            let mut commit =
                commit.with_metadata(metadata.clone())?.with_idempotency_key(IdempotencyKey::new(key)?);
            commit.stream_type.clone_from(&stream_type);
            commit.trace.clone_from(&trace);
            Ok(commit)
        };
        let mut expected = expectation.unwrap_or(END_UNKNOWN);
        for _ in 0..CONFLICTS_MAX {
            match self.store.commit(commit(expected)?).await {
                Ok(committed) => return Ok(committed.changeset_id),
                Err(Error::Refused(Refusal::AheadOfStream { last, .. })) if expectation.is_none() => {
                    expected = after(last);
                }
                Err(Error::Refused(Refusal::Conflict { .. })) if expectation.is_none() => {
                    expected = END_UNKNOWN;
                }
                Err(Error::Refused(refusal)) => return Err(PermanentError::because(refusal).into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(format!("{CONFLICTS_MAX} conflicts in a row: others keep appending to stream \"{stream_id}\"")
            .into())
    }
}

/// No stream ends like this: the store refuses the commit and returns the end of the stream. So it need not
/// be read first.
const END_UNKNOWN: Expectation = Expectation::LastChangeset(ChangesetId::MAX);

fn after(last: u64) -> Expectation {
    if last == 0 { Expectation::NewStream } else { Expectation::LastChangeset(ChangesetId::new(last)) }
}

impl<E, F, I> Reactor for CommitReactor<E, F>
where
    E: DeserializeOwned + Send + Sync + 'static,
    F: Fn(&Cause<'_, E>) -> I + Send + Sync + 'static,
    I: IntoIterator<Item = Append> + 'static,
{
    type Event = E;

    fn name(&self) -> &str {
        &self.name
    }
    fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }
    fn acts_in_effects_only(&self) -> bool {
        true
    }
    async fn react(&self, cause: Cause<'_, E>) -> Result<(), BoxError> {
        let appends: Vec<Append> = (self.follow)(&cause).into_iter().collect();
        if appends.is_empty() {
            return Ok(());
        }
        let metadata = caused_by(&cause)?;
        for (number, append) in appends.into_iter().enumerate() {
            let effect = format!("commit/{number}");
            let (key, metadata, trace) = (cause.key(&effect), metadata.clone(), cause.trace().cloned());
            cause.effect(&effect, || self.commit(append, &key, metadata, trace)).await?;
        }
        Ok(())
    }
}

fn stamped(upcasters: &Upcasters, events: Events) -> Result<Events, BoxError> {
    let stamped: Vec<Cow<'_, str>> = events.iter()?.map(|event| upcasters.stamped(event)).collect();
    if stamped.iter().all(|event| matches!(event, Cow::Borrowed(_))) {
        return Ok(events);
    }
    Ok(Events::parse(&format!("[{}]", stamped.join(",")))?)
}

/// Returns the metadata of a commit that follows from an event.
fn caused_by<E>(cause: &Cause<'_, E>) -> Result<Json, BoxError> {
    let name = format!("{}@{}", cause.stream_id(), cause.changeset_id());
    let of_cause: Map<String, Value> = cause.metadata().read()?;
    let mut metadata = Map::new();
    let correlation = of_cause.get("correlation_id").filter(|id| id.is_string()).cloned();
    metadata.insert("correlation_id".to_owned(), correlation.unwrap_or_else(|| name.clone().into()));
    metadata.insert("causation_id".to_owned(), name.into());
    if let Some(user) = of_cause.get("user").filter(|user| user.is_string()) {
        metadata.insert("user".to_owned(), user.clone());
    }
    Ok(Json::of(&metadata)?)
}
