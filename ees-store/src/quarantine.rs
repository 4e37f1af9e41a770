//! Changesets that a store holds and nobody can read. This is where a stored text becomes one or the other.

use std::sync::Arc;

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
use crate::{Events, Json};

/// Why a changeset can't be read, and what the store holds of it.
///
/// A commit never stores such a changeset. Another system has written it, or somebody by hand, or a disk has
/// changed it. It keeps its place in the global order and in its stream, so that everything after it can be
/// read. Repair it in the store, and it is read again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the changeset is quarantined: {}", .0.reason)]
pub struct Quarantined(Arc<Held>);

#[derive(Debug, PartialEq, Eq)]
struct Held {
    reason: String,
    events: String,
    metadata: String,
    has_changed: bool,
}

impl Quarantined {
    /// From the reason, and the texts of events and metadata as the store holds them.
    pub fn new(reason: impl Into<String>, events: impl Into<String>, metadata: impl Into<String>) -> Self {
        let (reason, events, metadata) = (reason.into(), events.into(), metadata.into());
        Self(Arc::new(Held { reason, events, metadata, has_changed: false }))
    }

    /// As [`new`](Self::new), of a body that is not the one that was stored.
    #[cfg(any(feature = "sqlite", feature = "postgres", test))]
    pub(crate) fn changed(
        reason: impl Into<String>,
        events: impl Into<String>,
        metadata: impl Into<String>,
    ) -> Self {
        let (reason, events, metadata) = (reason.into(), events.into(), metadata.into());
        Self(Arc::new(Held { reason, events, metadata, has_changed: true }))
    }

    /// Whether it is known not to be what was stored.
    pub(crate) fn has_changed(&self) -> bool {
        self.0.has_changed
    }

    /// What is wrong with it.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The text of its events, as the store holds it. What is not UTF-8 is replaced by U+FFFD.
    pub fn events(&self) -> &str {
        &self.0.events
    }

    /// The text of its metadata, as the store holds it.
    pub fn metadata(&self) -> &str {
        &self.0.metadata
    }
}

/// The body of a changeset, as a row or an item holds it.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
pub(crate) struct StoredBody<'a> {
    pub(crate) events: &'a [u8],
    pub(crate) metadata: &'a [u8],
    /// How many events there are, by the numbers of the changeset.
    pub(crate) count: u64,
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "dynamodb"))]
impl StoredBody<'_> {
    /// Events and metadata, readable or not. All of the body is looked at.
    pub(crate) fn read(&self) -> (Events, Json) {
        match self.parsed() {
            Ok((events, metadata)) => (Events::adopted(events, self.count), metadata),
            Err(reason) => self.quarantined(reason),
        }
    }

    /// As [`read`](Self::read), of a row with a checksum beside it: what has not changed since it was checked
    /// is not checked again.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn read_checked(&self, stream_id: &str, checksum: Option<i64>) -> (Events, Json) {
        let Some(checksum) = checksum else { return self.read() };
        let found = checksum_of(stream_id.as_bytes(), self.events, self.metadata, self.count);
        match (str::from_utf8(self.events), str::from_utf8(self.metadata)) {
            (Ok(events), Ok(metadata)) if found == checksum => {
                (Events::stored(events, self.count), Json::stored(metadata))
            }
            _ if checksum == QUARANTINED => self.quarantined("it was so when it was imported".to_owned()),
            _ => {
                let reason =
                    format!("its checksum is {found:08x}, but was {checksum:08x} when it was stored");
                self.held(|events, metadata| Quarantined::changed(reason, events, metadata))
            }
        }
    }

    /// The checksum that the row gets that has none; `None` if it can't be read as it is.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn own_checksum(&self, stream_id: &[u8]) -> Option<i64> {
        let (events, metadata) = self.parsed().ok()?;
        let is_as_it_is =
            events.as_str().as_bytes() == self.events && metadata.as_str().as_bytes() == self.metadata;
        is_as_it_is.then(|| checksum_of(stream_id, self.events, self.metadata, self.count))
    }

    fn parsed(&self) -> Result<(Json, Json), String> {
        let json = |name: &str, bytes: &[u8]| {
            let text =
                str::from_utf8(bytes).map_err(|error| format!("its `{name}` are not UTF-8: {error}"))?;
            let raw: &serde_json::value::RawValue =
                serde_json::from_str(text).map_err(|error| format!("its `{name}` are not JSON: {error}"))?;
            Json::from_valid(raw.get(), usize::MAX).map_err(|error| error.to_string())
        };
        let (events, metadata) = (json("events", self.events)?, json("metadata", self.metadata)?);
        let found = events.as_str().starts_with('[').then(|| crate::json::elements(events.as_str()).count());
        match found {
            Some(found) if found as u64 != self.count => {
                Err(format!("it has {found} events, but numbers for {}", self.count))
            }
            _ => Ok((events, metadata)),
        }
    }

    pub(crate) fn quarantined(&self, reason: String) -> (Events, Json) {
        self.held(|events, metadata| Quarantined::new(reason, events, metadata))
    }

    fn held(&self, quarantined: impl FnOnce(String, String) -> Quarantined) -> (Events, Json) {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (events, metadata) = (text(self.events), text(self.metadata));
        let readable = Json::parse(&metadata).ok();
        let events = Events::quarantine(quarantined(events, metadata), self.count);
        (events, readable.unwrap_or_else(|| Json::stored("{}")))
    }
}

/// Beside a changeset that was quarantined already where it came from: the checksum of nothing.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const QUARANTINED: i64 = -1;

/// What a row keeps beside the body: the CRC-32 of what the committer gives. Numbers and times that the store
/// gives are proven by their order.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn checksum(stream_id: &crate::StreamId, events: &Events, metadata: &Json) -> i64 {
    if events.quarantined().is_some() {
        return QUARANTINED;
    }
    let (stream_id, metadata) = (stream_id.as_str().as_bytes(), metadata.as_str().as_bytes());
    checksum_of(stream_id, events.as_stored().as_bytes(), metadata, events.count())
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn checksum_of(stream_id: &[u8], events: &[u8], metadata: &[u8], count: u64) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [stream_id, &[0], &count.to_be_bytes(), events, &[0], metadata] {
        hasher.update(part);
    }
    i64::from(hasher.finalize())
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    fn body<'a>(events: &'a str, metadata: &'a str, count: u64) -> StoredBody<'a> {
        StoredBody { events: events.as_bytes(), metadata: metadata.as_bytes(), count }
    }

    #[test]
    fn what_is_json_is_read_and_anything_else_is_quarantined_with_its_text() {
        for (events, count) in [("[]", 0), ("[1, 2]", 2), ("{\"a\":1}", 7), ("\"abc\"", 3), ("null", 0)] {
            let (read, metadata) = body(events, "{ }", count).read();
            assert_eq!((read.count(), read.quarantined(), metadata.as_str()), (count, None, "{}"));
        }
        for (events, metadata, count, reason) in [
            ("[NaN]", "{}", 1, "`events` are not JSON"),
            ("[Infinity,-Infinity]", "{}", 2, "`events` are not JSON"),
            ("", "{}", 1, "`events` are not JSON"),
            ("[1", "{}", 1, "`events` are not JSON"),
            ("[1]", "{\"a\":NaN}", 1, "`metadata` are not JSON"),
            ("[1]", "{}", 2, "1 events, but numbers for 2"),
        ] {
            let (read, readable) = body(events, metadata, count).read();
            let quarantined = read.quarantined().unwrap();
            assert!(quarantined.reason().contains(reason), "{quarantined}");
            assert_eq!(
                (quarantined.events(), quarantined.metadata(), read.count()),
                (events, metadata, count)
            );
            assert_eq!(readable.as_str(), "{}");
            assert!(read.iter().is_err() && read.as_json().is_err());
        }
        let (read, _) = StoredBody { events: b"[\"\xff\"]", metadata: b"{}", count: 1 }.read();
        assert_eq!(read.quarantined().unwrap().events(), "[\"\u{fffd}\"]");
    }

    #[test]
    fn a_checksum_covers_every_bit_of_the_body() {
        let (events, metadata) = (b"[1,\"ab\"]".to_vec(), b"{\"x\":1}".to_vec());
        let given = Events::parse("[1,\"ab\"]").unwrap();
        let checksum = checksum(&"a".parse().unwrap(), &given, &Json::parse("{\"x\":1}").unwrap());
        let is_read = |stream: &str, events: &[u8], metadata: &[u8], count| {
            let (read, _) = StoredBody { events, metadata, count }.read_checked(stream, Some(checksum));
            read.quarantined().is_none()
        };
        assert!(is_read("a", &events, &metadata, 2));
        assert!(!is_read("b", &events, &metadata, 2) && !is_read("a", &events, &metadata, 3));
        for bit in 0..events.len() * 8 {
            let mut flipped = events.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_read("a", &flipped, &metadata, 2), "{bit}");
        }
        for bit in 0..metadata.len() * 8 {
            let mut flipped = metadata.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_read("a", &events, &flipped, 2), "{bit}");
        }
    }
}
