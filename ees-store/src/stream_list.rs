//! A list of streams, in pages.

use std::fmt;
use std::str::FromStr;

use crate::{Checkpoint, StreamType, Timestamp};

/// Which streams to list, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamListQuery {
    /// Only streams whose id begins with this. Only in the order of the ids.
    pub prefix: String,
    /// Only streams of this type.
    pub stream_type: Option<StreamType>,
    /// The order of the list.
    pub order: StreamListOrder,
    /// Where to go on: the [`next`](StreamListPage::next) of the page before, in the same order.
    pub after: Option<StreamListPlace>,
    /// At most this many streams.
    pub limit: usize,
}

/// The order of a list of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamListOrder {
    /// By id, in the order of its bytes.
    #[default]
    Id,
    /// The one with the most changesets first.
    Longest,
    /// The one that began last first.
    Newest,
}

impl StreamListOrder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Id, Self::Longest, Self::Newest];

    /// Its name, in queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Longest => "longest",
            Self::Newest => "newest",
        }
    }
}

/// A stream in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedStream {
    /// Its id.
    pub stream_id: String,
    /// Its type, if it has one.
    pub stream_type: Option<StreamType>,
    /// The number of its changesets.
    pub changesets: u64,
    /// The number of its events.
    pub events: u64,
    /// The time of its first commit.
    pub first_commit: Timestamp,
    /// The time of its last commit.
    pub last_commit: Timestamp,
}

impl ListedStream {
    /// Its place in a list of this order.
    pub fn place(&self, order: StreamListOrder) -> StreamListPlace {
        let rank = match order {
            StreamListOrder::Id => 0,
            StreamListOrder::Longest => i64::try_from(self.changesets).unwrap_or(i64::MAX),
            StreamListOrder::Newest => self.first_commit.as_micros(),
        };
        StreamListPlace { rank, stream_id: self.stream_id.clone() }
    }
}

/// A page of a list of streams. The list is a read model: it has what was committed before its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamListPage {
    /// The streams, in the order of the query.
    pub streams: Vec<ListedStream>,
    /// Where the next page begins; `None` on the last one. A page may have fewer streams than the limit, or none,
    /// and still have a next one.
    pub next: Option<StreamListPlace>,
    /// The checkpoint that the read model reads next.
    pub checkpoint: Checkpoint,
}

/// A place in a list of streams: after one of them. As text, `RANK:ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamListPlace {
    /// What the list is sorted by before the id: the number of changesets, or the microseconds of the first
    /// commit. 0 in the order of the ids.
    pub rank: i64,
    /// The id of the stream.
    pub stream_id: String,
}

impl fmt::Display for StreamListPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.rank, self.stream_id)
    }
}

/// A text that is no place in a list of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no place in the list. Give the `next` of the page before")]
pub struct InvalidPlace;

impl FromStr for StreamListPlace {
    type Err = InvalidPlace;
    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let (rank, stream_id) = text.split_once(':').ok_or(InvalidPlace)?;
        let rank = rank.parse().map_err(|_| InvalidPlace)?;
        if stream_id.is_empty() {
            Err(InvalidPlace)
        } else {
            Ok(Self { rank, stream_id: stream_id.to_owned() })
        }
    }
}
