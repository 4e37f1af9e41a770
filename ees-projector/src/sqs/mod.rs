//! SQS queues: messages that wake projections, and messages for your own programs.
//!
//! - [`Worker`] wakes the projections of this process when a message says that something is new. It deletes
//!   the message when they have applied its changeset.
//! - [`Queue`] receives, converts and acknowledges messages for programs that are not projections: changesets
//!   and events, or notifications of typed streams ([`Queue::of_notifications`]).
//! - [`DeadLetterQueue`] keeps messages that could not be published; `Redrive` (feature `sns`) publishes them
//!   again.

mod client;
mod dead_letters;
mod queue;
#[cfg(feature = "sns")]
mod redrive;
mod worker;

pub use dead_letters::{DeadLetterQueue, WaitingLetter};
pub use queue::{Delivery, Queue, QueueError};
#[cfg(feature = "sns")]
pub use redrive::{Redrive, Redriven};
pub use worker::{Counts, Worker};
