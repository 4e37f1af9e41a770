//! Reads events as types: which events a reader knows, how old events are upcast, and what happens to unknown
//! ones.
//!
//! - [`read_event`] reads an event as an enum, and distinguishes *not mine* from *mine but unreadable*.
//! - [`Upcasters`] turn events of older types and versions into today's, whenever they are read. Stored
//!   events never change.
//! - [`Reading`] combines both with the reader's choice about unknown types. Give projections, reactors and
//!   aggregates the same one, so that all of them see the same event.
//! - [`types_of`] returns the event types that an enum names, for a [`Filter`](crate::Filter).

mod decode;
mod members;
mod reading;
mod upcast;

pub use decode::{read_event, types_of};
pub use members::Members;
pub use reading::{Reading, Unknown};
pub use upcast::{InvalidStep, StepError, UpcastError, Upcasters};
