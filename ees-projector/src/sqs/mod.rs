//! Messages in SQS queues: as wake-ups for projections, or for whoever wants the messages themselves.
//!
//! - [`Worker`] wakes the projections of this process when a message says that something is new, and deletes the message
//!   once they are past it.
//! - [`Queue`] receives, converts and acknowledges, for programs that are no projection: changesets and events, or, made by
//!   [`Queue::of_notifications`], notifications of typed streams.
//! - [`DeadLetterQueue`] keeps what could not be published.

mod client;
mod dead_letters;
mod queue;
mod worker;

pub use dead_letters::{DeadLetterQueue, WaitingLetter};
pub use queue::{Delivery, Queue, QueueError};
pub use worker::{Counts, Worker};
