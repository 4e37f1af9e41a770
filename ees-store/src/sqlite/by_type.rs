//! The streams of each type in the order of their last changesets: kept with the changesets, read by its key
//! alone.

use rusqlite::{CachedStatement, Connection, params};

use super::error::Failure;
use crate::{
    Changeset, ChangesetId, EventId, StreamId, StreamType, Tail, Timestamp, TypePage, TypeQuery, TypedStream,
};

/// Moves streams to the end of their type. What a stream without a type costs is a look at its changeset.
pub(super) struct Mover<'c> {
    delete: CachedStatement<'c>,
    insert: CachedStatement<'c>,
}

impl<'c> Mover<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            delete: connection.prepare_cached(
                "DELETE FROM typed_streams WHERE stream_type = ?1 AND updated_at = ?2 AND stream_id = ?3",
            )?,
            insert: connection.prepare_cached(
                "INSERT INTO typed_streams (stream_type, updated_at, stream_id, changeset_id, event_id)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
        })
    }

    /// A stream got this changeset behind its old end.
    pub(super) fn appended(&mut self, old: &Tail, changeset: &Changeset) -> rusqlite::Result<()> {
        let Some(stream_type) = changeset.stream_type.as_ref().map(StreamType::as_str) else {
            return Ok(());
        };
        let stream_id = changeset.stream_id.as_str();
        if old.exists() {
            self.delete.execute(params![stream_type, old.last_timestamp.as_micros(), stream_id])?;
        }
        self.insert.execute(params![
            stream_type,
            changeset.timestamp.as_micros(),
            stream_id,
            changeset.changeset_id.get(),
            changeset.last_event_id().get(),
        ])?;
        Ok(())
    }
}

/// The key is the whole order, so that a page begins where it begins.
const PAGE: &str = "
    SELECT updated_at, stream_id, changeset_id, event_id FROM typed_streams
    WHERE stream_type = ?1 AND (updated_at, stream_id) > (?2, ?3)
    ORDER BY updated_at, stream_id LIMIT ?4";

/// A page of a type.
pub(super) fn page(connection: &Connection, query: &TypeQuery) -> Result<TypePage, Failure> {
    // No id is empty: before the first one of that moment.
    let from = (query.updated_from.as_micros(), "");
    let after = query.after.as_ref().map(|after| (after.updated_at.as_micros(), after.stream_id.as_str()));
    let (micros, stream_id) = after.map_or(from, |after| after.max(from));
    let rows = i64::try_from(query.page_length() + 1).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(PAGE)?;
    let mut rows = statement.query(params![query.stream_type.as_str(), micros, stream_id, rows])?;
    let mut streams = Vec::new();
    while let Some(row) = rows.next()? {
        streams.push(TypedStream {
            stream_id: StreamId::stored(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?),
            tail: Tail {
                last_changeset: ChangesetId::new(row.get(2)?),
                last_event: EventId::new(row.get(3)?),
                last_timestamp: Timestamp::from_micros(row.get(0)?),
                stream_type: Some(query.stream_type.clone()),
            },
        });
    }
    Ok(TypePage::cut(streams, query.page_length()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Options, schema};

    #[test]
    fn a_page_is_found_by_its_key_and_nothing_is_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let connection = schema::open(&folder.path().join("log.db"), Options::default()).unwrap();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {PAGE}")).unwrap();
        let steps = explain.query_map(params!["account", 0, "", 10], |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        let [step] = steps.as_slice() else { panic!("{steps:?}") };
        assert!(step.starts_with("SEARCH typed_streams USING PRIMARY KEY (stream_type=?"), "{step}");
        assert!(step.contains("updated_at"), "{step}");
    }
}
