//! Checks models, of this package and of the crates ([`checker`]), and has the designs of ees that are checked: lanes, which are not built (`docs/decisions/0035-lanes.md`), and
//! indexers that take turns (`docs/decisions/0039-stripes.md`).

pub mod checker;
pub mod indexers;
pub mod lanes;
pub mod lanes_load;
pub mod lanes_model;
