//! How a projection is rebuilt, its standby, and how that compares with the live read model.

use serde::{Deserialize, Serialize};

/// The plan for a standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Standby {
    /// The role of the standby.
    pub role: StandbyRole,
    /// Whether it is swapped with the live read model when it has caught up.
    pub swap: bool,
    /// Whether it is compared with the live read model before the swap.
    pub verify: bool,
    /// Whether it is swapped even if streams are parked in either of the two.
    pub force: bool,
    /// Why it was not swapped, if it should have been.
    pub note: Option<String>,
    /// What a swap leaves behind, or has left here: what others added to the live read model (an index, a trigger) or made to
    /// depend on it (a view, a function), and the standby does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<String>,
    /// Whether it leaves out what operators skipped in the live read model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_skips: bool,
}

/// The role of a standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StandbyRole {
    /// It is being built, or is complete and was never live.
    Building,
    /// It was live before, and follows so that a rollback loses nothing.
    Following,
}

/// How a read model is rebuilt in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InPlace {
    /// Rebuilds even if columns, triggers or the like that others added to the tables can't be made again.
    /// Default: `false`.
    pub force: bool,
    /// Leaves out again what operators skipped. Default, with `None`: if the version is the same.
    pub keep_skips: Option<bool>,
    /// Deals the streams out to this many workers for the time of the rebuild, in all processes that run the
    /// projection: 1 to 256. More than 1 needs [`Order::Stream`](crate::Order::Stream), and PostgreSQL or, by segments
    /// and up to 64, DynamoDB. Default, with `None`: as many as the projection has partitions.
    pub workers: Option<u32>,
    /// Lets each worker read its own segment of the log, instead of the whole log: the streams of a segment one after the
    /// other, up to the head of the log, which is noted before. Then the log is read on in its order. Needs
    /// [`Order::Stream`](crate::Order::Stream), and a log that [has segments](ees_store::ChangesetLog::has_segments):
    /// one in DynamoDB. Default: `false`.
    pub by_segments: bool,
}

/// How a read model is rebuilt side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SideBySide {
    /// Compares the two read models at the same checkpoint before the swap. If they differ, they are not
    /// swapped. Default: `false`.
    pub verify: bool,
    /// Builds the standby without swapping it; [`Handle::swap`](crate::Handle::swap) swaps it later. Default:
    /// `false`.
    pub no_swap: bool,
    /// Swaps even if streams are parked. Default: `false`.
    pub force: bool,
    /// Leaves out again what operators skipped. Default, with `None`: if the version is the same.
    pub keep_skips: Option<bool>,
    /// Deals the streams out to this many workers while the standby is built. See
    /// [`InPlace::workers`](InPlace::workers).
    pub workers: Option<u32>,
    /// Reads the log by segments while the standby is built. See [`InPlace::by_segments`](InPlace::by_segments).
    pub by_segments: bool,
}

impl From<SideBySide> for Standby {
    fn from(wanted: SideBySide) -> Self {
        let SideBySide { verify, no_swap, force, keep_skips, workers: _, by_segments: _ } = wanted;
        Self {
            role: StandbyRole::Building,
            swap: !no_swap,
            verify,
            force,
            note: None,
            left_behind: Vec::new(),
            keeps_skips: keep_skips == Some(true),
        }
    }
}

/// The result of comparing two read models at the same checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// The checkpoint of both. On DynamoDB the last one: each row was compared at it or at an earlier one. With partitions, the lowest: each partition has the same checkpoint in both.
    pub checkpoint: u64,
    /// The number of rows compared, in all tables of the live read model.
    pub rows: u64,
    /// The number of streams that are parked in the live read model. Their rows are behind, and may differ.
    #[serde(default)]
    pub parked_streams: u64,
    /// The differences as text: a table, or a row with its key. At most 100. Empty if the read models are
    /// equal.
    pub differences: Vec<String>,
}

impl Comparison {
    /// The most differences that are listed.
    pub const DIFFERENCES_MAX: usize = 100;

    /// Returns `true` if there are no differences.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// The beginning of a row's text, enough to recognize it.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
pub(crate) fn shortened(row: &str) -> String {
    const CHARS_MAX: usize = 200;
    match row.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &row[..end]),
        None => row.to_owned(),
    }
}
