//! The repository of one type of aggregate.

use std::sync::Arc;

use ees_store::event::Reading;
use ees_store::{ChangesetId, ChangesetLog, EventStore, Filter, LogQuery, StreamId, StreamType, pages};
use futures::{Stream, StreamExt, future};

use crate::aggregate::is_stream_type;
use crate::hydrate::Hydrator;
use crate::snapshots::cache::Cache;
use crate::snapshots::{Snapshots, Snapshotted};
use crate::turns::Turns;
use crate::{Aggregate, Error, Loaded};

/// Loads aggregates of one type, and executes commands on them.
///
/// It works over any store, including `ees_store::client::Client`. Cloning is cheap. Create one for each
/// process and clone it: then conflicting commands on a stream take turns.
///
/// A decision is committed only if the stream still is as it was when the decision was made, over any number
/// of processes. See [`execute`](Repository::execute).
///
/// ```
/// # use ees_aggregate::Aggregate;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// # #[serde(tag = "type", rename_all = "snake_case")]
/// # enum Event { Deposited { cents: u64 } }
/// # #[derive(Default)] struct Account { cents: u64 }
/// # struct Deposit { cents: u64 }
/// # impl Aggregate for Account {
/// #     const TYPE: &'static str = "account";
/// #     type Event = Event; type Command = Deposit; type Error = std::convert::Infallible;
/// #     fn apply(&mut self, Event::Deposited { cents }: &Event) { self.cents += cents }
/// #     fn decide(&self, command: &Deposit) -> Result<Vec<Event>, Self::Error> {
/// #         Ok(vec![Event::Deposited { cents: command.cents }])
/// #     }
/// # }
/// use std::sync::Arc;
/// use ees_aggregate::Repository;
/// use ees_store::{ChangesetId, memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let accounts = Repository::<Account>::new(Arc::new(memory::Store::new()));
/// let ada = "account/ada".parse()?;
/// assert!(accounts.load(&ada).await?.is_none());
///
/// accounts.execute(&ada, &Deposit { cents: 500 }).await?;
/// let now = accounts.execute(&ada, &Deposit { cents: 42 }).await?.aggregate;
/// assert_eq!((now.cents, now.changeset_id.get()), (542, 2));
/// assert_eq!(accounts.load_at(&ada, ChangesetId::new(1)).await?.cents, 500);
/// # Ok(())
/// # }
/// ```
pub struct Repository<A> {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) log: Arc<dyn ChangesetLog>,
    pub(crate) reading: Reading,
    pub(crate) stream_type: StreamType,
    pub(crate) retries: usize,
    pub(crate) cache: Option<Cache<A>>,
    pub(crate) turns: Arc<Turns>,
}

// Derived, it would ask for `A: Clone`.
impl<A> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            log: self.log.clone(),
            reading: self.reading.clone(),
            stream_type: self.stream_type.clone(),
            retries: self.retries,
            cache: self.cache.clone(),
            turns: self.turns.clone(),
        }
    }
}

/// Streams that [`Repository::load_all`] reads at once.
const LOADS_AT_ONCE: usize = 8;
/// Changesets a page when it looks for them.
const PAGE: usize = 1_000;

impl<A: Aggregate> Repository<A> {
    /// The default number of retries after a conflict.
    pub const RETRIES: usize = 12;

    /// A repository over a store.
    pub fn new<S: EventStore + ChangesetLog>(store: Arc<S>) -> Self {
        Self::of(store.clone(), store)
    }

    /// A repository over trait objects, for a store that is chosen by configuration.
    pub fn of(store: Arc<dyn EventStore>, log: Arc<dyn ChangesetLog>) -> Self {
        const { assert!(is_stream_type(A::TYPE), "Aggregate::TYPE can't be the type of a stream") };
        #[expect(clippy::expect_used, reason = "the line above does not compile for anything else")]
        let stream_type = StreamType::new(A::TYPE).expect("a type for the store");
        let turns = Arc::new(Turns::new());
        Self { store, log, reading: A::reading(), stream_type, retries: Self::RETRIES, cache: None, turns }
    }

    /// Adds snapshots, so that long streams load as fast as short ones. Default: none.
    #[must_use]
    pub fn with_snapshots(self, snapshots: impl Snapshots) -> Self
    where
        A: Snapshotted,
    {
        Self { cache: Some(Cache::new(Arc::new(snapshots))), ..self }
    }

    /// Sets the number of events after which a new snapshot is taken. Default: 100. Call it after
    /// [`with_snapshots`](Repository::with_snapshots); without snapshots it has no effect.
    #[must_use]
    pub fn with_snapshots_after(mut self, events: u64) -> Self {
        if let Some(cache) = &mut self.cache {
            cache.after_events = events.max(1);
        }
        self
    }

    /// Sets the number of retries after a conflict. Default: [`RETRIES`](Repository::RETRIES). The first
    /// retry waits for its turn among the commands of this process (at most 5 seconds). Later ones wait for
    /// other processes, with pauses that grow from 5 to 500 milliseconds, plus up to as much again by jitter;
    /// 12 of them add up to 3 to 6 seconds.
    #[must_use]
    pub fn with_retries(self, retries: usize) -> Self {
        Self { retries, ..self }
    }

    /// Loads an aggregate; `None` if its stream does not exist.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn load(&self, id: &StreamId) -> Result<Option<Loaded<A>>, Error> {
        let hydrated = self.hydrator().up_to(id, None).await?;
        self.keep_snapshot(hydrated.due).await;
        Ok(Some(hydrated.loaded).filter(Loaded::exists))
    }

    /// Loads an aggregate as it was after one of its changesets. At [`ChangesetId::NONE`], before the first
    /// one, it is the default.
    ///
    /// # Errors
    /// [`Error::AheadOfStream`] when the stream does not have that changeset.
    pub async fn load_at(&self, id: &StreamId, changeset_id: ChangesetId) -> Result<Loaded<A>, Error> {
        if changeset_id == ChangesetId::NONE {
            return Ok(Loaded::new(id.clone()));
        }
        let loaded = self.hydrator().up_to(id, Some(changeset_id)).await?.loaded;
        if loaded.changeset_id < changeset_id {
            let (asked, last) = (changeset_id, loaded.changeset_id);
            return Err(Error::AheadOfStream { stream_id: id.clone(), asked, last });
        }
        Ok(loaded)
    }

    /// Loads all aggregates, in the order of their first changesets, each in its state at the time that it is
    /// loaded. Holds only a few of them in memory at a time.
    ///
    /// It finds the streams of the aggregate's type; a stream without a type is not found. It reads the log
    /// once, and each stream.
    ///
    /// # Errors
    /// An aggregate that can't be loaded is an error item, and the stream of aggregates continues. An error
    /// of the log is the last item.
    pub fn load_all(&self) -> impl Stream<Item = Result<Loaded<A>, Error>> + Send + '_ {
        let all = LogQuery::from(ees_store::Checkpoint::START, PAGE)
            .with_filter(Filter::stream_type(self.stream_type.clone()));
        let begun = pages::log_changesets(&*self.log, all).filter_map(|found| {
            future::ready(match found {
                Ok(first) if first.changeset_id == ChangesetId::new(1) => Some(Ok(first.changeset.stream_id)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
        });
        let load = move |found: ees_store::Result<StreamId>| async move {
            let id = found?;
            // It was there a moment ago: without it, the store has been replaced.
            self.load(&id).await?.ok_or_else(|| ees_store::Error::StreamNotFound(id).into())
        };
        begun.map(load).buffered(LOADS_AT_ONCE)
    }

    pub(crate) fn hydrator(&self) -> Hydrator<'_, A> {
        Hydrator { store: &*self.store, log: &*self.log, reading: &self.reading, cache: self.cache.as_ref() }
    }
}
