//! Finds the place where a log, or a stream, reaches a time.

use std::time::Duration;

use crate::{
    Changeset, ChangesetId, ChangesetLog, Checkpoint, Error, EventId, EventStore, LogEntry, LogQuery, Result,
    StreamId, StreamQuery, Timestamp,
};

/// Changesets without a time, one after the other, after which the log is taken to have none.
const WITHOUT_TIME_MAX: usize = 10_000;
/// How far the clock of a caller may be ahead of this machine's.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Changesets that are read together to find one with a time.
const STRIDE: usize = 100;

/// Returns where to start reading the log for what was committed at a time or later: its place, as
/// [`ChangesetLog::checkpoint_at`] finds it. A time before the first changeset has its place at the start.
///
/// ```
/// use ees_store::{Checkpoint, Timestamp, checkpoint_since, memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = memory::Store::new();
/// assert_eq!(checkpoint_since(&log, "2026-11-21T09:30:00Z".parse()?).await?, Checkpoint::START);
/// let in_2999 = checkpoint_since(&log, "2999-01-01T00:00:00Z".parse()?).await;
/// assert!(in_2999.is_err_and(|why| why.to_string().contains("is in the future")));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::InvalidRequest`] for a time that is more than a minute ahead of this machine's clock, and those of
/// [`ChangesetLog::checkpoint_at`].
pub async fn checkpoint_since(log: &(impl ChangesetLog + ?Sized), time: Timestamp) -> Result<Checkpoint> {
    refuse_future(time)?;
    log.checkpoint_at(time).await
}

fn refuse_future(time: Timestamp) -> Result<()> {
    let now = Timestamp::now();
    if time > now.later_by(AHEAD_MAX) {
        return Err(Error::InvalidRequest(format!("{time} is in the future: it is {now} now")));
    }
    Ok(())
}

/// A place in a stream: a changeset, which may not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// The number of the changeset.
    pub changeset_id: ChangesetId,
    /// The number of its first event.
    pub event_id: EventId,
}

impl StreamPlace {
    pub(crate) const START: Self = Self { changeset_id: ChangesetId::new(1), event_id: EventId::new(1) };

    fn after(changeset: &Changeset) -> Self {
        Self { changeset_id: changeset.changeset_id.next(), event_id: changeset.last_event_id().next() }
    }
}

/// Returns where to start reading a stream for what was committed at a time or later: the first such changeset, or the
/// next one of the stream if there is none. It is found by search: of a stream of a million changesets, 40 are read.
/// Times ascend within a stream, so the place is exact.
///
/// ```
/// use ees_store::{Commit, EventStore, Events, Expectation, memory, stream_place_since};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = memory::Store::new();
/// let opened = Commit::new("account/42".parse()?, Expectation::NewStream, Events::parse("[1,2]")?);
/// store.commit(opened).await?;
/// let of = |time: &str| time.parse().map(|time| stream_place_since(&store, "account/42".parse().unwrap(), time));
/// assert_eq!(of("2001-01-01T00:00:00Z")?.await?.changeset_id.get(), 1);
/// let now = stream_place_since(&store, "account/42".parse()?, ees_store::Timestamp::now()).await?;
/// assert_eq!((now.changeset_id.get(), now.event_id.get()), (2, 3));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::StreamNotFound`]. [`Error::InvalidRequest`] for a time that is more than a minute ahead of this machine's
/// clock, and for a stream whose changesets have no times.
pub async fn stream_place_since(
    store: &(impl EventStore + ?Sized),
    stream_id: StreamId,
    time: Timestamp,
) -> Result<StreamPlace> {
    refuse_future(time)?;
    // What comes before is older. A stream does not say how long it is: so the steps grow, then they are halved.
    let (mut place, mut step) = (StreamPlace::START, 1);
    let mut end = None;
    loop {
        let from = place.changeset_id.get();
        let middle = match end {
            None => ChangesetId::new(from.saturating_add(step - 1)),
            Some(end) if from >= end => return Ok(place),
            Some(end) => ChangesetId::new(from + (end - from) / 2),
        };
        match first_of_stream_with_time(store, &stream_id, middle).await? {
            Some(older) if older.timestamp < time => {
                place = StreamPlace::after(&older);
                step *= 2;
            }
            _ => end = Some(middle.get()),
        }
    }
}

async fn first_of_stream_with_time(
    store: &(impl EventStore + ?Sized),
    stream_id: &StreamId,
    mut from: ChangesetId,
) -> Result<Option<Changeset>> {
    let (mut limit, mut passed) = (1, 0);
    while passed < WITHOUT_TIME_MAX {
        let query = StreamQuery::changesets(stream_id.clone(), from, None).with_limit(limit);
        let page = store.read_stream(query).await?;
        let Some(last) = page.changesets.last() else { return Ok(None) };
        passed += page.changesets.len();
        from = last.changeset_id.next();
        limit = STRIDE;
        if let Some(found) = page.changesets.into_iter().find(|it| it.timestamp != Timestamp::default()) {
            return Ok(Some(found));
        }
    }
    Err(without_times("this stream"))
}

fn without_times(what: &str) -> Error {
    Error::InvalidRequest(format!("the changesets of {what} have no times"))
}

/// Every changeset before `low` that was looked at is older than the time; none from `high` on is.
pub(crate) async fn bisect(log: &(impl ChangesetLog + ?Sized), time: Timestamp) -> Result<Checkpoint> {
    let (mut low, mut high) = (Checkpoint::START, log.head().await?.checkpoint);
    while low < high {
        let middle = Checkpoint::new(low.get() + (high.get() - low.get()) / 2);
        match first_with_time(log, middle).await? {
            Some(entry) if entry.timestamp < time => low = entry.checkpoint.next(),
            _ => high = middle,
        }
    }
    Ok(low)
}

async fn first_with_time(
    log: &(impl ChangesetLog + ?Sized),
    mut from: Checkpoint,
) -> Result<Option<LogEntry>> {
    let (mut limit, mut passed) = (1, 0);
    while passed < WITHOUT_TIME_MAX {
        let page = log.read(LogQuery::from(from, limit)).await?;
        if page.changesets.is_empty() {
            // Those that are on their way decide where the time is.
            let is_all = page.next >= page.head.checkpoint;
            let late = || Error::Unavailable(format!("the changesets from checkpoint {from} on are late"));
            return if is_all { Ok(None) } else { Err(late()) };
        }
        passed += page.changesets.len();
        from = page.next;
        limit = STRIDE;
        if let Some(found) = page.changesets.into_iter().find(|it| it.timestamp != Timestamp::default()) {
            return Ok(Some(found));
        }
    }
    Err(without_times("this log"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use async_trait::async_trait;

    use super::*;
    use crate::{Commit, Committed, Events, Expectation, StreamPage, memory};

    /// Counts the changesets that are read.
    struct Counting(memory::Store, AtomicUsize);

    #[async_trait]
    impl EventStore for Counting {
        async fn commit(&self, commit: Commit) -> Result<Committed> {
            self.0.commit(commit).await
        }
        async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
            let page = self.0.read_stream(query).await?;
            self.1.fetch_add(page.changesets.len(), SeqCst);
            Ok(page)
        }
    }

    #[tokio::test]
    async fn a_long_stream_is_searched_and_not_scanned() {
        let store = Counting(memory::Store::new(), AtomicUsize::new(0));
        for number in 0..3_000_i64 {
            let last = Expectation::LastChangeset(u64::try_from(number).unwrap().into());
            let commit = Commit::new("a".parse().unwrap(), last, Events::parse("[1,2]").unwrap());
            store.commit(commit.with_recorded_at(Timestamp::from_micros(10 * number + 10))).await.unwrap();
        }
        for (time, changeset) in [(0, 1), (10, 1), (11, 2), (20_000, 2_000), (29_999, 3_000), (40_000, 3_001)]
        {
            let read = store.1.swap(0, SeqCst);
            assert!(read < 30, "{read}");
            let place = stream_place_since(&store, "a".parse().unwrap(), Timestamp::from_micros(time));
            let place = place.await.unwrap();
            assert_eq!((place.changeset_id.get(), place.event_id.get()), (changeset, 2 * changeset - 1));
        }
    }
}
