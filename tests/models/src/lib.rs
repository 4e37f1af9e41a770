//! Designs of ees that are not built yet, as models that are checked.
//!
//! `docs/decisions/0035-lanes.md` says what [`lanes`] and [`lanes_model`] are for.

pub mod lanes;
pub mod lanes_model;
