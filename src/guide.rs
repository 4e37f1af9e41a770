//! The guides, in the order in which you are likely to need them.
//!
//! They are also in the folder `docs`. Their code is compiled with the tests.

#[doc = include_str!("../docs/projections.md")]
pub mod projections {}

#[doc = include_str!("../docs/aggregates.md")]
pub mod aggregates {}

#[doc = include_str!("../docs/reactors.md")]
pub mod reactors {}

#[doc = include_str!("../docs/operating.md")]
pub mod operating {}

#[doc = include_str!("../docs/running.md")]
pub mod running {}

#[doc = include_str!("../docs/error-handling.md")]
pub mod error_handling {}

#[doc = include_str!("../docs/rebuilding.md")]
pub mod rebuilding {}

#[doc = include_str!("../docs/several-workers.md")]
pub mod several_workers {}

#[doc = include_str!("../docs/aws.md")]
pub mod aws {}

#[doc = include_str!("../docs/dynamodb.md")]
pub mod dynamodb {}

#[doc = include_str!("../docs/typed-streams.md")]
pub mod typed_streams {}

#[doc = include_str!("../docs/backends.md")]
pub mod backends {}

#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

/// Compiles the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
