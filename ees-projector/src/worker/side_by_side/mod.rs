//! A standby side by side with the live read model: built, compared at the same checkpoint, swapped in one
//! transaction.
//!
//! The plan for it is stored in its own row, so that a worker can go on with it after a crash.
//!
//! Where the live read model is split into partitions, the other one is split in the same way before the two are
//! compared or swapped. Its partitions then stand still, and each is brought to exactly the checkpoint of its
//! counterpart: the rows of a partition depend on its own streams only.

mod build;
mod compare;
pub(crate) mod estimate;
pub(crate) mod open_readers;
pub(crate) mod rows;
pub(crate) mod swap;
