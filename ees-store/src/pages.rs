//! Reads all pages of a stream or the log, over any store.

use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::{Changeset, ChangesetLog, Error, EventStore, LogEntry, LogPage, LogQuery, Result, StreamQuery};

/// How long one call of [`follow`] waits for something to arrive.
const FOLLOW_WAIT: Duration = Duration::from_secs(20);

/// The changesets of a part of a stream, page by page.
///
/// ```
/// use ees_store::{Commit, EventStore, Events, Expectation, StreamQuery, memory, pages};
/// use futures::TryStreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = memory::Store::new();
/// store.commit(Commit::new("a".parse()?, Expectation::NewStream, Events::parse("[1]")?)).await?;
/// let all: Vec<_> = pages::stream_changesets(&store, StreamQuery::all("a".parse()?)).try_collect().await?;
/// assert_eq!(all.len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The errors of [`EventStore::read_stream`]; the returned stream ends after the first one.
pub fn stream_changesets<S>(store: &S, query: StreamQuery) -> impl Stream<Item = Result<Changeset>> + Send
where
    S: EventStore + ?Sized,
{
    let pages = stream::try_unfold(Some(query), move |query| async move {
        let Some(query) = query else { return Ok::<_, Error>(None) };
        let page = store.read_stream(query.clone()).await?;
        let rest = query.rest_after(&page);
        Ok(Some((stream::iter(page.changesets).map(Ok), rest)))
    });
    pages.try_flatten()
}

/// The changesets of the log from the query's start to its end, page by page.
///
/// Ends when it has reached the head of the log.
///
/// # Errors
/// The errors of [`ChangesetLog::read`]; the returned stream ends after the first one.
pub fn log_changesets<L>(log: &L, query: LogQuery) -> impl Stream<Item = Result<LogEntry>> + Send
where
    L: ChangesetLog + ?Sized,
{
    let pages = stream::try_unfold(Some(query), move |query| async move {
        let Some(query) = query else { return Ok::<_, Error>(None) };
        let page = log.read(query.clone()).await?;
        // A store that assigns checkpoints after the commit can return less than its head says: the rest is
        // late, not missing.
        let wait = if page.next > query.from { query.wait } else { FOLLOW_WAIT };
        let rest = (page.next < page.head.checkpoint).then_some(LogQuery { from: page.next, wait, ..query });
        Ok(Some((stream::iter(page.changesets).map(Ok), rest)))
    });
    pages.try_flatten()
}

/// The log from the query's start, and all that is appended later. It never ends by itself.
///
/// Yields pages, because [`LogPage::next`] is what a reader has to store: a page whose changesets were all
/// filtered out moves it too. Pages that don't move it are skipped.
///
/// # Errors
/// The errors of [`ChangesetLog::read`]; the returned stream ends after the first one.
pub fn follow<L>(log: &L, query: LogQuery) -> impl Stream<Item = Result<LogPage>> + Send
where
    L: ChangesetLog + ?Sized,
{
    stream::try_unfold(query.with_wait(FOLLOW_WAIT), move |query| async move {
        loop {
            let page = log.read(query.clone()).await?;
            if page.next > query.from {
                let rest = LogQuery { from: page.next, ..query };
                return Ok(Some((page, rest)));
            }
        }
    })
}
