//! Parts of the log that can be read at the same time, each by a reader of its own.

use serde::{Deserialize, Serialize};

use crate::filter::Matcher;
use crate::{Changeset, Checkpoint, Filter, LogEntry, LogQuery};

/// One of the parts into which a log is divided for reading. A stream belongs to one of them, whole.
///
/// ```
/// use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation, Segment, SegmentQuery, memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = memory::Store::new();
/// log.commit(Commit::new("a".parse()?, Expectation::NewStream, Events::parse("[1]")?)).await?;
///
/// let until = log.head().await?.checkpoint;
/// let mut read = 0;
/// for segment in Segment::all(4) {
///     let mut after = None;
///     loop {
///         let page = log.read_segment(SegmentQuery { after, ..SegmentQuery::of(segment, until) }).await?;
///         read += page.changesets.len();
///         after = page.next;
///         if after.is_none() {
///             break;
///         }
///     }
/// }
/// assert_eq!(read, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its number, from 0.
    pub index: u32,
    /// How many segments the log is divided into, at least 1. With another number, streams belong to others.
    pub count: u32,
}

impl Segment {
    /// All segments of a log that is divided into this many.
    pub fn all(count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }
}

/// What to read of a segment.
#[derive(Clone, Debug)]
pub struct SegmentQuery {
    /// The segment.
    pub segment: Segment,
    /// Only changesets before this checkpoint, which the log has reached: its head, noted before the first page.
    pub until: Checkpoint,
    /// Only what comes after this place. Default: all.
    pub after: Option<SegmentPlace>,
    /// At most this many changesets. Default: 1,000.
    pub limit: usize,
    /// At most this many bytes of events and metadata; a page that is not empty holds at least one changeset,
    /// whatever its size. Default: [`LogQuery::MAX_BYTES`].
    pub max_bytes: usize,
    /// Which changesets to return; the others are skipped. Default: all.
    pub filter: Filter,
}

impl SegmentQuery {
    /// What a segment holds before a checkpoint, from its beginning.
    pub fn of(segment: Segment, until: Checkpoint) -> Self {
        let (limit, max_bytes) = (1_000, LogQuery::MAX_BYTES);
        Self { segment, until, after: None, limit, max_bytes, filter: Filter::default() }
    }
}

/// A place in a segment: after a changeset, or after something else that the store keeps there. It holds for the
/// same log, divided into as many segments, and can be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPlace {
    stream_id: String,
    changeset_id: u64,
}

impl SegmentPlace {
    /// The place after a changeset of the segment.
    pub fn after(changeset: &Changeset) -> Self {
        Self::new(changeset.stream_id.as_str(), changeset.changeset_id.get())
    }

    /// The place after what a store keeps under this key. For stores.
    pub fn new(stream_id: impl Into<String>, changeset_id: u64) -> Self {
        Self { stream_id: stream_id.into(), changeset_id }
    }

    /// The stream of the changeset, or what the store has instead.
    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// The number of the changeset in its stream.
    pub fn changeset_id(&self) -> u64 {
        self.changeset_id
    }
}

/// One page of a segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentPage {
    /// The changesets: those of a stream together, ascending. Streams come in any order, but always in the same.
    pub changesets: Vec<LogEntry>,
    /// Where the next page begins; `None` after the last one. A page may be empty and not the last one.
    pub next: Option<SegmentPlace>,
    /// How many changesets before [`SegmentQuery::until`] the page has passed, also those that the filter left out.
    pub passed: u64,
    /// The read units that the database charges for the scan of the page, if it does (DynamoDB). Changesets without a
    /// place, which are read once more, are not in it.
    pub read_units: Option<f64>,
}

/// A page that is being read.
pub(crate) struct OpenPage<'a> {
    query: &'a SegmentQuery,
    filter: Matcher<'a>,
    page: SegmentPage,
    bytes: usize,
}

impl<'a> OpenPage<'a> {
    pub(crate) fn new(query: &'a SegmentQuery) -> Self {
        let page = SegmentPage { next: query.after.clone(), ..SegmentPage::default() };
        Self { query, filter: query.filter.matcher(), page, bytes: 0 }
    }

    /// How many more changesets fit.
    pub(crate) fn room(&self) -> usize {
        self.query.limit.max(1).saturating_sub(self.page.changesets.len())
    }

    /// Takes the next changeset before the end of the query; `false` if the page ends before it.
    pub(crate) fn take(&mut self, entry: LogEntry) -> bool {
        let place = SegmentPlace::after(&entry);
        if self.filter.accepts(&entry) {
            let bytes = self.bytes.saturating_add(entry.size_bytes());
            let is_full = self.room() == 0 || bytes > self.query.max_bytes;
            if is_full && !self.page.changesets.is_empty() {
                return false;
            }
            self.bytes = bytes;
            self.page.changesets.push(entry);
        }
        self.page.passed += 1;
        self.page.next = Some(place);
        true
    }

    /// Goes on after this place: nothing of the query is before it.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn pass_to(&mut self, place: SegmentPlace) {
        self.page.next = Some(place);
    }

    /// Where the page has come to.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn place(&self) -> Option<&SegmentPlace> {
        self.page.next.as_ref()
    }

    /// Adds to what the database charges.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn charge(&mut self, read_units: f64) {
        *self.page.read_units.get_or_insert_default() += read_units;
    }

    /// The page, behind which there is more.
    pub(crate) fn cut(self) -> SegmentPage {
        self.page
    }

    /// The last page of the segment.
    pub(crate) fn last(self) -> SegmentPage {
        SegmentPage { next: None, ..self.page }
    }
}
