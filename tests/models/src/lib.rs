//! Designs of ees that are not built yet, as models that are checked.
//!
//! [`lanes`] has the pure functions of `docs/decisions/0035-lanes.md`.

pub mod lanes;
