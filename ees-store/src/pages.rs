//! Reading on past the end of a page, over any store.

use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::{
    Changeset, ChangesetLog, Error, EventStore, Indexed, LogPage, LogQuery, Result, StreamPage, StreamQuery,
    StreamRange,
};

/// How long one call of [`follow`] waits for something to arrive.
const FOLLOW_WAIT: Duration = Duration::from_secs(20);

/// The changesets of a part of a stream, however many pages they take.
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
/// What [`EventStore::read_stream`] fails with; the stream of changesets ends there.
pub fn stream_changesets<S>(store: &S, query: StreamQuery) -> impl Stream<Item = Result<Changeset>> + Send
where
    S: EventStore + ?Sized,
{
    let pages = stream::try_unfold(Some(query), move |query| async move {
        let Some(query) = query else { return Ok::<_, Error>(None) };
        let page = store.read_stream(query.clone()).await?;
        let rest = rest_after(&page, query);
        Ok(Some((stream::iter(page.changesets).map(Ok), rest)))
    });
    pages.try_flatten()
}

/// The query for what a cut page left out.
fn rest_after(page: &StreamPage, query: StreamQuery) -> Option<StreamQuery> {
    let next = page.next?;
    let range = match query.range {
        StreamRange::Changesets { to, .. } => StreamRange::Changesets { from: next, to },
        StreamRange::Events { to, .. } => {
            StreamRange::Events { from: page.changesets.last()?.last_event_id().next(), to }
        }
    };
    Some(StreamQuery { range, ..query })
}

/// The changesets of the log from the query's beginning to its end, however many pages they take.
///
/// Ends when it has caught up with the log.
///
/// # Errors
/// What [`ChangesetLog::read`] fails with; the stream of changesets ends there.
pub fn log_changesets<L>(log: &L, query: LogQuery) -> impl Stream<Item = Result<Indexed>> + Send
where
    L: ChangesetLog + ?Sized,
{
    let pages = stream::try_unfold(Some(query), move |query| async move {
        let Some(query) = query else { return Ok::<_, Error>(None) };
        let page = log.read(query.clone()).await?;
        // A store that orders afterwards can fall short of its own head: the rest is late, not missing.
        let wait = if page.next > query.from { query.wait } else { FOLLOW_WAIT };
        let rest = (page.next < page.head.checkpoint).then_some(LogQuery { from: page.next, wait, ..query });
        Ok(Some((stream::iter(page.changesets).map(Ok), rest)))
    });
    pages.try_flatten()
}

/// The log from the query's beginning on, and whatever arrives later. Never ends by itself.
///
/// Gives whole pages, because [`LogPage::next`] is what a reader has to remember; a page whose changesets were all
/// filtered out moves it too. Pages without news are passed over.
///
/// # Errors
/// What [`ChangesetLog::read`] fails with; following ends there.
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
