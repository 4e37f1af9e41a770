//! A line of a file to import, and the commit it becomes.

use ees_store::{ChangesetId, Commit, Events, Expectation, IdempotencyKey, Json, StreamId, StreamType};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::lines::LineLocation;
use crate::exit::{Failure, Outcome};
use crate::trace::trace_of;

/// The JSON of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    stream_id: StreamId,
    expected_last_changeset: Option<ChangesetId>,
    events: Json,
    metadata: Option<Json>,
    stream_type: Option<StreamType>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    /// An export has it. It is checked, so that a line that is missing, doubled or moved is noticed.
    changeset_id: Option<ChangesetId>,
    // An export has these too. They are ignored: the store assigns new ones.
    #[serde(default, rename = "checkpoint")]
    _checkpoint: IgnoredAny,
    #[serde(default, rename = "first_event_id")]
    _first_event_id: IgnoredAny,
    #[serde(default, rename = "timestamp")]
    _timestamp: IgnoredAny,
    // Of changesets that a commit can't make.
    event_count: Option<IgnoredAny>,
    quarantined: Option<IgnoredAny>,
}

/// A line, ready to commit as soon as its position in the stream is known.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) commit: Commit,
    /// The expectation in the line itself.
    pub(super) expected: Option<ChangesetId>,
    /// The changeset that the line was when it was exported.
    pub(super) exported: Option<ChangesetId>,
}

impl Entry {
    pub(super) fn parse(line: &str, location: &LineLocation) -> Outcome<Self> {
        let wire: Wire = serde_json::from_str(line).map_err(|error| location.not_readable(&error))?;
        Self::of(wire).map_err(|failure| failure.at(location))
    }

    fn of(wire: Wire) -> Outcome<Self> {
        if wire.quarantined.or(wire.event_count).is_some() {
            return Err(Failure::bad_input(
                "a server takes no changeset that another system has made, or that can't be read",
            )
            .with_hint("write the whole export into a new store with `ees import --keep-order`"));
        }
        let events = Events::parse(wire.events.as_str())?;
        let mut commit = Commit::new(wire.stream_id, Expectation::NewStream, events);
        if let Some(metadata) = wire.metadata {
            commit = commit.with_metadata(metadata)?;
        }
        commit.stream_type = wire.stream_type;
        commit.trace = trace_of(wire.traceparent.as_deref(), wire.tracestate.as_deref())?;
        Ok(Self { commit, expected: wire.expected_last_changeset, exported: wire.changeset_id })
    }

    pub(super) fn stream_id(&self) -> &StreamId {
        &self.commit.stream_id
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.commit.size_bytes()
    }

    /// The commit of the stream's line number `ordinal`. The line before became the changeset `last`.
    pub(super) fn commit(self, ordinal: u64, last: ChangesetId) -> Outcome<Commit> {
        let key = self.key(ordinal).parse::<IdempotencyKey>().map_err(Failure::bad_input)?;
        let follows = self.follows(ordinal, last)?;
        let expectation = Expectation::LastChangeset(follows);
        Ok(self.commit.expecting(expectation).with_idempotency_key(key))
    }

    /// The changeset that the line must follow.
    fn follows(&self, ordinal: u64, last: ChangesetId) -> Outcome<ChangesetId> {
        let before = self.exported.map(|id| ChangesetId::new(id.get().saturating_sub(1)));
        match (self.expected, before) {
            (expected, None) => Ok(expected.unwrap_or(last)),
            // The first line of a stream tells where the export of the stream begins.
            (None, Some(before)) if ordinal == 1 => Ok(before),
            (expected, Some(before)) => {
                let follows = expected.unwrap_or(last);
                if before == follows && self.exported.is_some_and(|id| id.get() > 0) {
                    return Ok(follows);
                }
                Err(Failure::bad_input(format!(
                    "the line is changeset {} of stream \"{}\", and follows changeset {follows}: lines are \
                     missing, doubled or out of order",
                    before.next(),
                    self.commit.stream_id,
                ))
                .with_hint(
                    "export the log again, or leave out \"changeset_id\" to commit the lines as new changesets, \
                     one after the other",
                ))
            }
        }
    }

    /// Deterministic: the same line gets the same key in every run. Different lines get different keys, even
    /// if they differ only in their expectation.
    pub(super) fn key(&self, ordinal: u64) -> String {
        let Self { commit, expected, .. } = self;
        let expected = expected.map(|id| format!("\"expected_last_changeset\":{id},")).unwrap_or_default();
        let hash = Sha256::new_with_prefix(commit.stream_id.as_str())
            .chain_update([0])
            .chain_update(ordinal.to_be_bytes())
            .chain_update(format!(
                "{{{expected}\"events\":{},\"metadata\":{}}}",
                commit.events.as_stored(),
                commit.metadata()
            ));
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Entry> {
        Entry::parse(line, &LineLocation { file: "f".into(), number: 1 })
    }

    fn key(line: &str, ordinal: u64) -> String {
        parse(line).unwrap().key(ordinal)
    }

    #[test]
    fn the_key_depends_on_stream_ordinal_and_body_only() {
        let line = r#"{"stream_id":"a","events":[{"x": 1}],"metadata":{}}"#;
        let spaced = r#" { "events" : [ { "x" : 1 } ] , "stream_id" : "a" } "#;
        assert_eq!(key(line, 1), key(spaced, 1));
        let others = [
            r#"{"stream_id":"b","events":[{"x":1}]}"#,
            r#"{"stream_id":"a","events":[{"x":1.0}]}"#,
            r#"{"stream_id":"a","events":[{"x":1}],"metadata":{"y":1}}"#,
            r#"{"stream_id":"a","events":[{"x":1}],"expected_last_changeset":0}"#,
        ];
        for other in others {
            assert_ne!(key(line, 1), key(other, 1), "{other}");
        }
        assert_ne!(key(line, 1), key(line, 2));
    }

    #[test]
    fn a_line_follows_the_one_before_by_default() {
        let expectation = |line: &str| {
            let commit = parse(line).unwrap().commit(3, ChangesetId::new(2)).unwrap();
            commit.expectation
        };
        let last = |id| Expectation::LastChangeset(ChangesetId::new(id));
        assert_eq!(expectation(r#"{"stream_id":"a","events":[1]}"#), last(2));
        assert_eq!(expectation(r#"{"stream_id":"a","events":[1],"expected_last_changeset":7}"#), last(7));
    }

    #[test]
    fn lines_of_an_export_that_are_missing_doubled_or_moved_are_refused() {
        let line =
            |id: u64| parse(&format!(r#"{{"stream_id":"a","events":[1],"changeset_id":{id}}}"#)).unwrap();
        let follows =
            |id, ordinal, last| line(id).follows(ordinal, ChangesetId::new(last)).map(ChangesetId::get);
        assert_eq!(follows(1, 1, 0).ok(), Some(0));
        assert_eq!(follows(5, 1, 0).ok(), Some(4), "the export begins in the middle of the stream");
        assert_eq!(follows(3, 3, 2).ok(), Some(2));
        for (id, ordinal, last) in [(2, 3, 2), (4, 3, 2), (1, 3, 2), (0, 2, 0)] {
            assert!(follows(id, ordinal, last).is_err(), "{id} after {last}");
        }
    }

    #[test]
    fn a_line_of_an_export_is_valid_and_a_misspelt_one_is_not() {
        let exported = r#"{"checkpoint":0,"stream_id":"a","changeset_id":1,"first_event_id":1,
            "timestamp":"2026-11-21T09:30:00.000001Z","events":[1],"metadata":{}}"#;
        let traced = exported
            .replace("}}", r#"},"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#);
        assert!(parse(exported).is_ok() && parse(&traced).is_ok());
        for bad in [
            "{",
            r#"{"stream_id":"a"}"#,
            r#"{"stream_id":"","events":[1]}"#,
            r#"{"stream_id":"a","events":[]}"#,
            r#"{"stream_id":"a","events":[1],"metadata":[]}"#,
            r#"{"stream_id":"a","events":[1],"expected_last_changset":1}"#,
            r#"{"stream_id":"a","events":[1]} {}"#,
            r#"{"stream_id":"a","events":[1],"traceparent":"00"}"#,
            r#"{"stream_id":"a","events":{},"event_count":2}"#,
            r#"{"stream_id":"a","events":[],"quarantined":{"reason":"","events":"[NaN]","metadata":"{}"}}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
