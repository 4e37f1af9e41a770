//! Changesets, events and notifications as messages to subscribers.
//!
//! Two FIFO topics: one has a message for each changeset, one for each event. Order holds within a stream, which is the
//! message group; the topics remove repetitions by content. [`Message`] is the form of a message, [`Received`] what a
//! subscriber makes of it, `sns::Publisher` what puts messages on topics, [`DeadLetter`] what is left of one that no topic
//! takes.
//!
//! A third topic, a standard one, has a [`Notification`] for each changeset of a typed stream: of which type, and how far the
//! stream is.
//!
//! Messages say that something is there; the store says what. A subscriber that must miss nothing reads the
//! [log](crate::ChangesetLog), and takes a message as the hint to look.

mod dead_letter;
mod message;
mod notification;
#[cfg(feature = "sns")]
mod outbox;
mod received;
#[cfg(feature = "sns")]
pub mod sns;

pub use dead_letter::{DeadLetter, DeadLetters};
pub use message::{Message, group_id};
pub use notification::Notification;
pub use received::{Readable, Received, UnreadableMessage};

/// A topic takes so many messages at once.
pub const BATCH_MESSAGES_MAX: usize = 10;

/// And so many bytes, of a message as of all messages of one call together: 256 KiB.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
