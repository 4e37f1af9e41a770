//! Identifiers of streams, changesets and events, and positions in the global order.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid [`StreamId`], [`StreamType`] or [`IdempotencyKey`](crate::IdempotencyKey).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct InvalidName {
    what: &'static str,
    why: &'static str,
}

impl InvalidName {
    pub(crate) const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

/// The id of a stream: the history of one business entity.
///
/// Any non-empty UTF-8 text of up to [`StreamId::BYTES_MAX`] bytes without control characters, except `.`,
/// `..` and ids that begin with [`StreamId::RESERVED_PREFIX`]. Slashes are allowed: `axum/src/lib.rs` is one
/// id. Cloning is cheap.
///
/// ```
/// use ees_store::StreamId;
/// let id: StreamId = "account/42".parse()?;
/// assert_eq!(id.as_str(), "account/42");
/// assert!("..".parse::<StreamId>().is_err());
/// # Ok::<(), ees_store::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct StreamId(Arc<str>);

impl StreamId {
    /// The maximum length, in bytes.
    pub const BYTES_MAX: usize = 1_024;
    /// The prefix of ids that the store keeps for itself.
    pub const RESERVED_PREFIX: &'static str = "!!!RESERVED:";

    /// Validates a text as a stream id.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let refuse = |why| Err(InvalidName::new("a stream id", why));
        match text {
            "" => refuse("must not be empty"),
            "." | ".." => refuse("must not be \".\" or \"..\", which URL libraries fold away"),
            _ if text.len() > Self::BYTES_MAX => refuse("must not be longer than 1024 bytes"),
            _ if text.chars().any(char::is_control) => refuse("must not hold control characters"),
            _ if text.starts_with(Self::RESERVED_PREFIX) => {
                refuse("must not begin with \"!!!RESERVED:\", which is the store's own")
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// An id that another system gave: any non-empty text that is not the store's own. For importing a log.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty or reserved.
    pub fn adopted(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() || text.starts_with(Self::RESERVED_PREFIX) {
            return Self::new(text);
        }
        Ok(Self(text.into()))
    }

    /// An id that was checked before it was stored.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The type of a stream, such as `account` or `order`. The stream's first commit sets it; it never changes.
///
/// Non-empty, up to [`StreamType::BYTES_MAX`] bytes, no control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct StreamType(Arc<str>);

impl StreamType {
    /// The maximum length, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Validates a text as a stream type.
    ///
    /// # Errors
    /// [`InvalidName`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let refuse = |why| Err(InvalidName::new("a stream type", why));
        match text {
            "" => refuse("must not be empty"),
            _ if text.len() > Self::BYTES_MAX => refuse("must not be longer than 255 bytes"),
            _ if text.chars().any(char::is_control) => refuse("must not hold control characters"),
            _ => Ok(Self(text.into())),
        }
    }

    #[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb", feature = "client"))]
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Macros stamp out what two text types and three counters have in common; a trait would not give them
// `FromStr` or serde.
macro_rules! text_name {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_name!(StreamId);
text_name!(StreamType);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $zero:ident, $zero_doc:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            #[doc = $zero_doc]
            pub const $zero: Self = Self(0);
            /// The largest value: that of a signed 64-bit column.
            pub const MAX: Self = Self(i64::MAX as u64);

            /// Wraps a number; one larger than [`Self::MAX`] becomes [`Self::MAX`].
            pub const fn new(number: u64) -> Self {
                if number > Self::MAX.0 { Self::MAX } else { Self(number) }
            }
            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }
            /// The next one, at most [`Self::MAX`].
            #[must_use]
            pub const fn next(self) -> Self {
                self.plus(1)
            }
            /// The one `count` later, at most [`Self::MAX`].
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self::new(self.0.saturating_add(count))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self::new(number)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u64::deserialize(deserializer).map(Self::new)
            }
        }
        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self::new)
            }
        }
    };
}

counter!(
    /// A changeset's number in its stream: 1, 2, 3, without gaps.
    ChangesetId,
    NONE,
    "Before the first changeset: the stream does not exist yet."
);
counter!(
    /// An event's number in its stream: 1, 2, 3, without gaps, across changesets.
    EventId,
    NONE,
    "Before the first event: the stream does not exist yet."
);
counter!(
    /// A position in the global order over all streams, counted from 0.
    ///
    /// As a position it names what comes *next*: a reader at checkpoint 7 has seen 0 to 6.
    Checkpoint,
    START,
    "The beginning of the log."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_is_any_text_but_the_reserved_and_the_unprintable() {
        let long = "x".repeat(StreamId::BYTES_MAX);
        for good in ["a", "axum/src/lib.rs", "ä ö", "...", "100%", long.as_str(), "\u{ffff}"] {
            assert!(StreamId::new(good).is_ok(), "{good:?}");
        }
        let longer = format!("{long}x");
        for bad in ["", ".", "..", "a\nb", "a\u{0}", "a\u{85}", "!!!RESERVED:X", longer.as_str()] {
            assert!(StreamId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counters_never_overflow() {
        assert_eq!(Checkpoint::MAX.next(), Checkpoint::MAX);
        assert_eq!(ChangesetId::new(u64::MAX), ChangesetId::MAX);
        assert_eq!(EventId::new(1).plus(2), EventId::new(3));
        let read: EventId = serde_json::from_str(&u64::MAX.to_string()).unwrap();
        assert_eq!(read, EventId::MAX);
    }
}
