//! Designs of ees that are not built yet, as models that are checked.
//!
//! `docs/decisions/0035-lanes.md` says what these are for.

pub mod indexers;
pub mod lanes;
pub mod lanes_load;
pub mod lanes_model;
