//! Reading events as types: whose an event is, what it is called today, and what becomes of one that nobody knows.
//!
//! - [`read_event`] reads one as an enum, and tells *not mine* from *mine but unreadable*.
//! - [`Upcasters`] bring events of older types and versions to what they are called today, whenever they are read. What is
//!   stored never changes.
//! - [`Reading`] is both, and the reader's choice about unknown types. Projections, reactors and aggregates have a method
//!   `reading`, so that all of them see the same event.
//! - [`types_of`] names the types of an enum, for a [`Filter`](crate::Filter).

mod decode;
mod members;
mod reading;
mod upcast;

pub use decode::{read_event, types_of};
pub use members::Members;
pub use reading::{Reading, Unknown};
pub use upcast::{InvalidStep, StepError, UpcastError, Upcasters};
