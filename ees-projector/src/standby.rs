//! A read model beside the live one, and how the two compare.

use serde::{Deserialize, Serialize};

/// What a read model beside the live one is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Standby {
    /// What it does.
    pub role: StandbyRole,
    /// Whether it takes the live one's place by itself when it has caught up.
    pub swap: bool,
    /// Whether it is compared with the live one before.
    pub verify: bool,
    /// Whether streams that are parked, here or there, are no reason to wait.
    pub force: bool,
    /// Why it did not take the live one's place, if it should have.
    pub note: Option<String>,
}

/// What a read model beside the live one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StandbyRole {
    /// It is built, or was and has not been live yet.
    Building,
    /// It was live before, and follows, so that a rollback loses nothing.
    Following,
}

/// How a read model is built beside the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SideBySide {
    /// Compares the two at one and the same checkpoint before they are swapped; when they differ, they are not.
    pub verify: bool,
    /// Only builds: [`Handle::swap`](crate::Handle::swap) swaps.
    pub no_swap: bool,
    /// Swaps although streams are parked.
    pub force: bool,
}

impl From<SideBySide> for Standby {
    fn from(wanted: SideBySide) -> Self {
        let SideBySide { verify, no_swap, force } = wanted;
        Self { role: StandbyRole::Building, swap: !no_swap, verify, force, note: None }
    }
}

/// Two read models at one and the same checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Comparison {
    /// The checkpoint that both had reached.
    pub checkpoint: u64,
    /// Rows compared, in all tables of the live one.
    pub rows: u64,
    /// What differs, in words: a table, or a row with its key. Empty when they are equal; at most 100.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Differences that are named.
    pub const DIFFERENCES_MAX: usize = 100;

    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}
