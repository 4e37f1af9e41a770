//! Reads bodies that another system has written, with numbers that JSON does not have.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Changeset, ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, EventStore, Events, Filter, Json,
    LogEntry, LogHead, LogPage, LogQuery, Result, SegmentPage, SegmentQuery, StoreFigures, StreamId,
    StreamPage, StreamQuery, Tail, Timestamp, TypePage, TypeQuery,
};

/// What stands for a number that JSON does not have. The longest first.
const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// A store that gives bare `NaN`, `Infinity` and `-Infinity` as texts (`"NaN"`). Otherwise a changeset with
/// one of them is [quarantined](crate::Quarantined), because it is not JSON.
///
/// What is stored stays as it is. Only readers of this see the texts, and get another value than the one that
/// was meant: choose it if all of them understand that. A changeset that has changed since it was stored
/// stays quarantined.
pub struct LenientNumbers {
    store: Arc<dyn EventStore>,
    log: Arc<dyn ChangesetLog>,
}

impl LenientNumbers {
    /// Reads a store, and its log, in this way.
    pub fn new(store: Arc<dyn EventStore>, log: Arc<dyn ChangesetLog>) -> Self {
        Self { store, log }
    }
}

#[async_trait]
impl EventStore for LenientNumbers {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.store.commit(commit).await
    }

    async fn commit_in_order(&self, commits: Vec<Commit>) -> Vec<Result<Committed>> {
        self.store.commit_in_order(commits).await
    }

    fn limit_bytes(&self) -> usize {
        self.store.limit_bytes()
    }

    async fn check_writable(&self) -> Result<()> {
        self.store.check_writable().await
    }

    async fn read_stream(&self, query: StreamQuery) -> Result<StreamPage> {
        let mut page = self.store.read_stream(query).await?;
        page.changesets.iter_mut().for_each(read);
        Ok(page)
    }

    async fn tail(&self, stream_id: &StreamId) -> Result<Tail> {
        self.store.tail(stream_id).await
    }

    async fn read_type(&self, query: TypeQuery) -> Result<TypePage> {
        self.store.read_type(query).await
    }

    fn figures(&self) -> Option<StoreFigures> {
        self.store.figures()
    }
}

#[async_trait]
impl ChangesetLog for LenientNumbers {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let filter = query.filter.clone();
        let mut page = self.log.read(query).await?;
        read_and_filter(&mut page.changesets, &filter);
        Ok(page)
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.log.head().await
    }

    async fn checkpoint_at(&self, time: Timestamp) -> Result<Checkpoint> {
        self.log.checkpoint_at(time).await
    }

    fn has_segments(&self) -> bool {
        self.log.has_segments()
    }

    async fn read_segment(&self, query: SegmentQuery) -> Result<SegmentPage> {
        let filter = query.filter.clone();
        let mut page = self.log.read_segment(query).await?;
        read_and_filter(&mut page.changesets, &filter);
        Ok(page)
    }
}

/// A filter lets what can't be read pass.
fn read_and_filter(changesets: &mut Vec<LogEntry>, filter: &Filter) {
    changesets.iter_mut().for_each(|entry| read(&mut entry.changeset));
    let matcher = filter.matcher();
    changesets.retain(|entry| matcher.accepts(entry));
}

/// Makes a changeset readable if nothing else is wrong with it.
fn read(changeset: &mut Changeset) {
    let Some(quarantined) = changeset.events.quarantined().filter(|it| !it.has_changed()) else { return };
    let (events, metadata) = (json(quarantined.events()), json(quarantined.metadata()));
    let (Some(events), Some(metadata)) = (events, metadata) else { return };
    let count = changeset.events.count();
    let is_list = events.as_str().starts_with('[');
    if is_list && crate::json::elements(events.as_str()).count() as u64 != count {
        return;
    }
    changeset.events = Events::adopted(events, count);
    changeset.metadata = metadata;
}

/// The text as JSON, with a text in place of each such number.
pub(crate) fn json(text: &str) -> Option<Json> {
    let quoted = quoted(text);
    let raw: &serde_json::value::RawValue = serde_json::from_str(&quoted).ok()?;
    Json::from_valid(raw.get(), usize::MAX).ok()
}

/// Puts the words into quotes where they stand outside of a text.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, is_word) = if first == '"' {
            (&rest[..end_of_text(rest)], false)
        } else {
            match WORDS.iter().find(|word| rest.starts_with(**word)) {
                Some(word) => (&rest[..word.len()], true),
                None => (&rest[..first.len_utf8()], false),
            }
        };
        match is_word {
            true => quoted.extend(["\"", token, "\""]),
            false => quoted.push_str(token),
        }
        rest = &rest[token.len()..];
    }
    quoted
}

/// Where a text ends that begins with a quotation mark.
fn end_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    for (place, letter) in text.char_indices().skip(1) {
        match letter {
            '"' if !is_escaped => return place + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expectation, Filter, Quarantined, memory};

    #[test]
    fn only_what_stands_for_a_number_becomes_a_text() {
        for (stored, given) in [
            ("[NaN]", r#"["NaN"]"#),
            (r#"[{"a":-Infinity,"b": [Infinity ,1]}]"#, r#"[{"a":"-Infinity","b": ["Infinity" ,1]}]"#),
            (r#"["NaN",{"NaN":"\"NaN\\"},NaN]"#, r#"["NaN",{"NaN":"\"NaN\\"},"NaN"]"#),
            (r#"["ö",NaN,"ü"#, r#"["ö","NaN","ü"#),
        ] {
            assert_eq!(quoted(stored), given);
        }
        for still_wrong in ["[NaN1]", "[1NaN]", "[- Infinity]", "[nan]", "[--Infinity]", "[1", ""] {
            assert!(json(still_wrong).is_none(), "{still_wrong}");
        }
    }

    async fn with(quarantined: Quarantined, count: u64) -> LenientNumbers {
        let store = Arc::new(memory::Store::new());
        let events = Events::quarantine(quarantined, count);
        store.commit(Commit::new("a".parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
        LenientNumbers::new(store.clone(), store)
    }

    #[tokio::test]
    async fn such_numbers_are_given_as_texts_by_stream_and_by_log() {
        let held =
            Quarantined::new("not JSON", r#"[{"type":"t","value":NaN},Infinity]"#, r#"{"m":-Infinity}"#);
        let lenient = with(held, 2).await;
        let page = lenient.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
        let stream = lenient.read_stream(StreamQuery::all("a".parse().unwrap())).await.unwrap();
        for changeset in [&page.changesets[0].changeset, &stream.changesets[0]] {
            let events: Vec<_> = changeset.events.iter().unwrap().collect();
            assert_eq!(events, [r#"{"type":"t","value":"NaN"}"#, r#""Infinity""#]);
            assert_eq!(changeset.metadata.as_str(), r#"{"m":"-Infinity"}"#);
        }
        for (event_type, found) in [("t", 1), ("other", 0)] {
            let filter = Filter { event_types: vec![event_type.to_owned()], ..Filter::default() };
            let page = lenient.read(LogQuery::from(Checkpoint::START, 10).with_filter(filter)).await.unwrap();
            assert_eq!((page.changesets.len(), page.next.get()), (found, 1), "{event_type}");
        }
    }

    #[tokio::test]
    async fn what_else_is_wrong_stays_quarantined() {
        for (held, count) in [
            (Quarantined::new("not JSON", "[NaN", "{}"), 1),
            (Quarantined::new("not JSON", "[NaN]", "{"), 1),
            (Quarantined::new("numbers for 2", "[NaN]", "{}"), 2),
            (Quarantined::changed("its checksum", "[NaN]", "{}"), 1),
        ] {
            let lenient = with(held.clone(), count).await;
            let page = lenient.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
            assert_eq!(page.changesets[0].events.quarantined(), Some(&held));
        }
    }
}
