//! From a stream to a state, by way of a snapshot if there is one that holds.

use ees_store::event::Reading;
use ees_store::{Changeset, ChangesetId, ChangesetLog, EventId, EventStore, StreamId, StreamQuery, pages};
use futures::{Stream, StreamExt, TryStreamExt, future, pin_mut};

use crate::snapshots::cache::{Cache, Due};
use crate::snapshots::{Key, Snapshot};
use crate::{Aggregate, Error, Loaded};

/// Reads streams for a repository.
pub(crate) struct Hydrator<'a, A> {
    pub(crate) store: &'a dyn EventStore,
    pub(crate) log: &'a dyn ChangesetLog,
    pub(crate) reading: &'a Reading,
    pub(crate) cache: Option<&'a Cache<A>>,
}

/// A state, and the snapshot that should be kept of it.
pub(crate) struct Hydrated<A> {
    pub(crate) loaded: Loaded<A>,
    pub(crate) due: Option<Due>,
}

/// A state, and how it came about.
struct Run<A> {
    loaded: Loaded<A>,
    /// Up to here it came from a snapshot.
    known: EventId,
    last: Option<Changeset>,
}

impl<A: Aggregate> Hydrator<'_, A> {
    /// The state after a changeset, or at the end of the stream; the state of a new one if there is no
    /// stream.
    pub(crate) async fn up_to(&self, id: &StreamId, to: Option<ChangesetId>) -> Result<Hydrated<A>, Error> {
        let cached = match self.cache {
            Some(cache) => cache.key(self.log, id).await.map(|key| (cache, key)),
            None => None,
        };
        let Some((cache, key)) = cached else {
            return Ok(Hydrated { loaded: self.whole(id, to).await?.loaded, due: None });
        };
        let snapshot = cache.find(&key).await.filter(|it| to.is_none_or(|to| it.changeset_id <= to));
        let resumed = match snapshot {
            Some(snapshot) => self.resume(cache, &key, &snapshot, to).await?,
            None => None,
        };
        let run = match resumed {
            Some(run) => run,
            None => self.whole(id, to).await?,
        };
        let read = run.loaded.event_id.get() - run.known.get();
        let due = match run.last {
            // What is past is asked for seldom: snapshots are for the present.
            Some(last) if to.is_none() && read >= cache.after_events => cache.take(key, &run.loaded, &last),
            _ => None,
        };
        Ok(Hydrated { loaded: run.loaded, due })
    }

    /// Goes on from a snapshot, if the changeset it was taken at is still there and still the same: that one
    /// is read along with what has come since.
    async fn resume(
        &self,
        cache: &Cache<A>,
        key: &Key,
        snapshot: &Snapshot,
        to: Option<ChangesetId>,
    ) -> Result<Option<Run<A>>, Error> {
        let query = StreamQuery::changesets(key.stream_id.clone(), snapshot.changeset_id, to);
        let changesets = self.changesets(query);
        pin_mut!(changesets);
        let Some(first) = changesets.try_next().await? else { return Ok(None) };
        let Some(mut loaded) = cache.verified(key, snapshot, &first) else { return Ok(None) };
        let known = loaded.event_id;
        let last = self.apply(&mut loaded, changesets).await?.or(Some(first));
        Ok(Some(Run { loaded, known, last }))
    }

    async fn whole(&self, id: &StreamId, to: Option<ChangesetId>) -> Result<Run<A>, Error> {
        let mut loaded = Loaded::new(id.clone());
        let last = self.follow(&mut loaded, to).await?;
        Ok(Run { loaded, known: EventId::NONE, last })
    }

    /// Applies what comes after the state; gives the last changeset it applied.
    pub(crate) async fn follow(
        &self,
        loaded: &mut Loaded<A>,
        to: Option<ChangesetId>,
    ) -> Result<Option<Changeset>, Error> {
        let rest = StreamQuery::changesets(loaded.stream_id.clone(), loaded.changeset_id.next(), to);
        self.apply(loaded, self.changesets(rest)).await
    }

    async fn apply(
        &self,
        loaded: &mut Loaded<A>,
        changesets: impl Stream<Item = ees_store::Result<Changeset>> + Send,
    ) -> Result<Option<Changeset>, Error> {
        pin_mut!(changesets);
        let mut last = None;
        while let Some(changeset) = changesets.try_next().await? {
            loaded.follow(&changeset, self.reading)?;
            last = Some(changeset);
        }
        Ok(last)
    }

    /// A part of a stream, however many pages it takes; of one that does not exist, nothing.
    fn changesets(&self, query: StreamQuery) -> impl Stream<Item = ees_store::Result<Changeset>> + Send {
        pages::stream_changesets(self.store, query)
            .filter(|read| future::ready(!matches!(read, Err(ees_store::Error::StreamNotFound(_)))))
    }
}
