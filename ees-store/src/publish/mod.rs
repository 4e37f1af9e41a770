//! Changesets, events and notifications as messages for subscribers.
//!
//! There are two FIFO topics: one with a message for each changeset, one with a message for each event.
//! Messages of a stream form a message group, so they arrive in order; the topics deduplicate by content.
//! `sns::Publisher` publishes a [`Message`]; a subscriber reads it as [`Received`]. A [`DeadLetter`] records
//! a message that a topic refused.
//!
//! A third, standard topic has a [`Notification`] for each changeset of a typed stream, with the stream's
//! type and revision.
//!
//! Each message has the [trace](crate::TraceContext) of its changeset as two attributes, `traceparent` and
//! `tracestate`, if there is one; [`trace_of_message`] reads them. They never change the body.
//!
//! A message is a hint, and the store is the truth: a subscriber that must not miss anything reads the
//! [log](crate::ChangesetLog) whenever a message arrives.

mod dead_letter;
mod message;
mod message_trace;
mod notification;
#[cfg(feature = "sns")]
mod outbox;
mod received;
#[cfg(feature = "sns")]
pub mod sns;

pub use dead_letter::{DeadLetter, DeadLetters};
pub use message::{Message, group_id};
pub use message_trace::trace_of_message;
pub use notification::Notification;
pub use received::{Readable, Received, UnreadableMessage};

/// The maximum number of messages in one call.
pub const BATCH_MESSAGES_MAX: usize = 10;

/// The maximum size of a message, and of all messages in one call together, in bytes: 256 KiB.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
