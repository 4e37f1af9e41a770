//! Where a commit is accepted or refused: a pure function of the stream's tail and the request.

use crate::{Changeset, ChangesetId, Commit, EventId, Expectation, StreamId, StreamType, Timestamp};

/// The end of a stream: all that a decision needs to know of it. The default is a stream that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The last changeset, or [`ChangesetId::NONE`].
    pub last_changeset: ChangesetId,
    /// The last event, or [`EventId::NONE`].
    pub last_event: EventId,
    /// When the last changeset was committed.
    pub last_timestamp: Timestamp,
    /// The stream's type.
    pub stream_type: Option<StreamType>,
}

impl Tail {
    /// The tail of a stream whose last changeset is this one.
    pub fn after(changeset: &Changeset) -> Self {
        Self {
            last_changeset: changeset.changeset_id,
            last_event: changeset.last_event_id(),
            last_timestamp: changeset.timestamp,
            stream_type: changeset.stream_type.clone(),
        }
    }

    /// Returns whether the stream exists.
    pub fn exists(&self) -> bool {
        self.last_changeset != ChangesetId::NONE
    }
}

/// Why a commit was refused. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another commit came first. Read what it appended, decide again, and commit again.
    #[error(
        "The expected last {} ({}) is outdated, review the {}(s) appended after it.",
        expectation.unit(), expectation.number(), expectation.unit()
    )]
    Conflict {
        /// What was expected.
        expectation: Expectation,
    },
    /// The expected changeset or event is ahead of the stream's end. The stream id or the store is the wrong
    /// one.
    #[error(
        "The specified expected {}({}) doesn't exist. The \"{stream_id}\" stream's most recent {} is {last}.",
        expectation.unit(), expectation.number(), expectation.unit()
    )]
    AheadOfStream {
        /// The stream.
        stream_id: StreamId,
        /// What was expected.
        expectation: Expectation,
        /// The stream's last changeset or event; 0 if the stream does not exist.
        last: u64,
    },
    /// The idempotency key was used on this stream for other events or metadata. Use a new key for a new
    /// commit.
    #[error("The idempotency key was used before on this stream, with other events or metadata.")]
    KeyReused,
    /// The stream has another type, or none. Leave the type out, or write to another stream.
    #[error(
        "The stream has {}, not the type \"{given}\". Its type is fixed by its first commit.",
        known.as_ref().map_or_else(|| "no type".to_owned(), |known| format!("the type \"{known}\""))
    )]
    TypeMismatch {
        /// The stream's type.
        known: Option<StreamType>,
        /// The type in the commit.
        given: StreamType,
    },
    /// Events and metadata exceed the store's limit for one changeset. Commit less at a time.
    #[error(
        "The changeset has {size_bytes} bytes of events and metadata; the store's limit is {limit_bytes}."
    )]
    TooLarge {
        /// The size of events and metadata, in bytes.
        size_bytes: usize,
        /// The store's limit, in bytes.
        limit_bytes: usize,
    },
}

/// Decides a commit: returns the changeset that it becomes at the end of a stream with this tail, or why it
/// is refused.
///
/// A pure function. `now` is the store's clock. The store has already answered retries, whose idempotency key
/// it knows.
///
/// # Errors
/// A [`Refusal`]. There is nothing to undo.
pub fn decide(
    tail: &Tail,
    commit: &Commit,
    limit_bytes: usize,
    now: Timestamp,
) -> Result<Changeset, Refusal> {
    let size_bytes = commit.size_bytes();
    if size_bytes > limit_bytes {
        return Err(Refusal::TooLarge { size_bytes, limit_bytes });
    }
    let expectation = commit.expectation;
    let last = match expectation {
        Expectation::NewStream | Expectation::LastChangeset(_) => tail.last_changeset.get(),
        Expectation::LastEvent(_) => tail.last_event.get(),
    };
    if last > expectation.number() {
        return Err(Refusal::Conflict { expectation });
    }
    if last < expectation.number() {
        return Err(Refusal::AheadOfStream { stream_id: commit.stream_id.clone(), expectation, last });
    }
    let stream_type = match (&tail.stream_type, &commit.stream_type) {
        (known, Some(given)) if tail.exists() && known.as_ref() != Some(given) => {
            return Err(Refusal::TypeMismatch { known: known.clone(), given: given.clone() });
        }
        (_, given) if !tail.exists() => given.clone(),
        (known, _) => known.clone(),
    };
    let now = commit.recorded_at.unwrap_or(now);
    let timestamp = if tail.exists() { now.max(tail.last_timestamp.next()) } else { now };
    Ok(Changeset {
        stream_id: commit.stream_id.clone(),
        changeset_id: tail.last_changeset.next(),
        first_event_id: EventId::new(tail.last_event.get() + 1),
        events: commit.events.clone(),
        metadata: commit.metadata.clone(),
        timestamp,
        stream_type,
        trace: commit.trace.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Events;

    fn tail(changeset: u64, event: u64, stream_type: Option<&str>) -> Tail {
        Tail {
            last_changeset: changeset.into(),
            last_event: event.into(),
            last_timestamp: Timestamp::from_micros(100),
            stream_type: stream_type.map(|text| text.parse().unwrap()),
        }
    }

    fn commit(expectation: Expectation) -> Commit {
        Commit::new("s".parse().unwrap(), expectation, Events::parse("[1,2]").unwrap())
    }

    fn decided(tail: &Tail, commit: &Commit) -> Result<Changeset, Refusal> {
        decide(tail, commit, 1_000, Timestamp::from_micros(50))
    }

    #[test]
    fn an_expectation_is_met_outdated_or_not_there() {
        use Expectation::{LastChangeset, LastEvent, NewStream};
        let none = Tail::default();
        let two = tail(2, 5, None);
        for (tail, expectation, want) in [
            (&none, NewStream, "1 1"),
            (&none, LastChangeset(0.into()), "1 1"),
            (&none, LastEvent(0.into()), "1 1"),
            (&two, LastChangeset(2.into()), "3 6"),
            (&two, LastEvent(5.into()), "3 6"),
            (
                &two,
                NewStream,
                "The expected last changeset (0) is outdated, review the changeset(s) appended after it.",
            ),
            (
                &two,
                LastEvent(3.into()),
                "The expected last event (3) is outdated, review the event(s) appended after it.",
            ),
            (
                &two,
                LastChangeset(3.into()),
                "The specified expected changeset(3) doesn't exist. The \"s\" stream's most recent changeset is 2.",
            ),
            (
                &none,
                LastEvent(1.into()),
                "The specified expected event(1) doesn't exist. The \"s\" stream's most recent event is 0.",
            ),
        ] {
            let got = match decided(tail, &commit(expectation)) {
                Ok(changeset) => format!("{} {}", changeset.changeset_id, changeset.first_event_id),
                Err(refusal) => refusal.to_string(),
            };
            assert_eq!(got, want);
        }
    }

    #[test]
    fn a_stream_keeps_the_type_of_its_first_commit() {
        let typed = |text: &str| commit(Expectation::NewStream).with_stream_type(text.parse().unwrap());
        let later = |commit: Commit| Commit { expectation: Expectation::LastChangeset(1.into()), ..commit };
        let type_of = |changeset: Changeset| changeset.stream_type.map(|name| name.to_string());
        assert_eq!(decided(&Tail::default(), &typed("a")).map(type_of), Ok(Some("a".to_owned())));
        let of_a = tail(1, 1, Some("a"));
        assert_eq!(
            decided(&of_a, &later(commit(Expectation::NewStream))).map(type_of),
            Ok(Some("a".to_owned()))
        );
        assert_eq!(decided(&of_a, &later(typed("a"))).map(type_of), Ok(Some("a".to_owned())));
        assert!(matches!(decided(&of_a, &later(typed("b"))), Err(Refusal::TypeMismatch { .. })));
        assert!(matches!(decided(&tail(1, 1, None), &later(typed("a"))), Err(Refusal::TypeMismatch { .. })));
    }

    #[test]
    fn time_never_goes_back_within_a_stream() {
        let next = decided(&tail(1, 1, None), &commit(Expectation::LastChangeset(1.into()))).unwrap();
        assert_eq!(next.timestamp, Timestamp::from_micros(101));
        let first = decided(&Tail::default(), &commit(Expectation::NewStream)).unwrap();
        assert_eq!(first.timestamp, Timestamp::from_micros(50));
    }

    #[test]
    fn a_changeset_of_exactly_the_limit_is_kept() {
        let commit = commit(Expectation::NewStream);
        let now = Timestamp::now();
        assert!(decide(&Tail::default(), &commit, 7, now).is_ok());
        assert_eq!(
            decide(&Tail::default(), &commit, 6, now),
            Err(Refusal::TooLarge { size_bytes: 7, limit_bytes: 6 })
        );
    }
}
