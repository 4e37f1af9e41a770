//! A read model as it was at a checkpoint.

use ees_store::Checkpoint;
use serde::{Deserialize, Serialize};

/// A copy of a read model as it was at a checkpoint, in a place of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct AsOf {
    /// The checkpoint: what comes before it is in the copy.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// The place: on PostgreSQL the name of a new schema, on SQLite that of a new file in the folder of the read
    /// model's file.
    pub into: String,
}

/// The progress or the result of the last copy that was begun in this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct AsOfStatus {
    /// What is built.
    #[serde(flatten)]
    #[cfg_attr(feature = "http", schema(inline))]
    pub as_of: AsOf,
    /// How far it is.
    #[serde(flatten)]
    #[cfg_attr(feature = "http", schema(inline))]
    pub progress: AsOfProgress,
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum AsOfProgress {
    /// It is being built.
    Building {
        /// The checkpoint that it reads next.
        next: u64,
    },
    /// It is complete.
    Done,
    /// It was cancelled. What was built is kept: the same request goes on with it.
    Cancelled {
        /// The checkpoint that it would read next.
        next: u64,
    },
    /// It failed. What was built is kept: the same request goes on with it.
    Failed {
        /// The error.
        error: String,
        /// Its code, as where a call is refused: `NOT_POSSIBLE`, `UNAVAILABLE`, ...
        #[serde(default)]
        code: String,
    },
}

/// How the work on a copy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    Complete,
    Cancelled,
}
