//! The limits of PostgreSQL itself on this machine.

mod append;
mod fold;
mod follow;
mod read;

pub(crate) use append::appends;
pub(crate) use fold::{Folds, folds};
pub(crate) use follow::follower;
pub(crate) use read::{scan, streams};
