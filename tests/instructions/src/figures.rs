//! The figures in the repository.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// How much more or less a path may cost.
pub(crate) const TOLERANCE: f64 = 0.03;

#[derive(Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The compiler that made them: another one's can't be compared.
    pub(crate) compiler: String,
    /// The instructions of each path, for one of what it works on.
    pub(crate) instructions: BTreeMap<String, u64>,
}

impl Figures {
    pub(crate) fn read() -> Result<Self, Failure> {
        Ok(serde_json::from_str(&std::fs::read_to_string(file())?)?)
    }

    pub(crate) fn write(&self) -> Result<(), Failure> {
        Ok(std::fs::write(file(), serde_json::to_string_pretty(self)? + "\n")?)
    }
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("figures.json")
}
