//! One projection at work.
//!
//! `step` is the algorithm, `runner` the loop around it. `start` is how a projection begins, `failing` and `parking`
//! what happens when a changeset can't be applied, `operate` what people want of it, `lease` whose turn it is where
//! several workers share a read model, `split` how they share one's streams,
//! `beside` how one is built beside another, `monitor` who says when it stands still.

pub(crate) mod batch;
mod beside;
mod failing;
pub(crate) mod lease;
pub(crate) mod monitor;
pub(crate) mod operate;
mod parking;
pub(crate) mod runner;
pub(crate) mod split;
mod start;
pub(crate) mod step;
