//! JSON passes through: every token comes back as it was sent.

use super::Subject;
use super::steps::{commit_after, events, first, stream, whole_log, whole_stream};
use crate::{Events, Json};

/// What a store that parses, normalises or re-encodes would change.
fn delicate() -> Vec<String> {
    let deep = Json::DEPTH_MAX;
    [
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{"":{"":[]},"a.b":{},"$ref":null,"_id":0,"N":{"N":"1"}}"#,
        "1.0",
        "-0.0",
        "-0",
        "1e400",
        "1E+2",
        "0.10000000000000000000000000001",
        "123456789012345678901234567890",
        "9007199254740993",
        "-9223372036854775809",
        "true",
        "null",
        r#""""#,
        r#""\u0000""#,
        r#""\ud800 lone, \udc00\ud800 turned round""#,
        r#""\u00e4 \/ \b\f\n\r\t \" \\ \u002F\u002f""#,
        "\"ä e\u{301} \u{1f980} \u{2028}\u{2029} \u{7f}\u{80} \u{fffd}\u{fffe}\u{ffff} \u{10ffff} \u{feff}\"",
        r#""[1, 2] {\"a\": \"b  c\"} ' '' ; -- $1 ? %s {{}} ""#,
        "\" two  spaces\u{a0}and\u{3000}others \"",
        "[]",
        "{}",
        r#"[[],[[]],{"a":[{}]}]"#,
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([format!("{}{}", "[".repeat(deep), "]".repeat(deep)), format!("\"{}\"", "\\\\".repeat(500))])
    .collect()
}

/// Each as an event of its own.
pub async fn every_token_of_an_event_comes_back<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let all = delicate();
    for (last, event) in (0..).zip(&all) {
        store.commit(commit_after("a", last, &format!("[{event}]"))).await.unwrap();
    }
    let read = whole_stream(&store, "a").await;
    for (event, it) in all.iter().zip(&read) {
        assert_eq!(it.events.iter().unwrap().collect::<Vec<_>>(), [event]);
    }
    let log = whole_log(&subject.log(), all.len()).await;
    assert!(log.iter().map(|it| &it.changeset).eq(&read));
}

/// All together in one changeset: the events stay apart and counted.
pub async fn events_stay_apart<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let all = delicate();
    store.commit(first("a", &format!("[{}]", all.join(",")))).await.unwrap();
    store.commit(commit_after("a", 1, "[\"next\"]")).await.unwrap();
    let read = whole_stream(&store, "a").await;
    assert_eq!(read[0].events.iter().unwrap().collect::<Vec<_>>(), all);
    assert_eq!(read[0].events.count(), all.len() as u64);
    assert_eq!(read[1].first_event_id.get(), all.len() as u64 + 1);
}

/// Metadata likewise.
pub async fn every_token_of_metadata_comes_back<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let texts: Vec<_> = delicate()
        .into_iter()
        .filter(|value| !value.starts_with("[[["))
        .map(|value| format!("{{\"b\":{value},\"a\":{value},\"b\":0}}"))
        .collect();
    for (last, text) in (0..).zip(&texts) {
        let commit = commit_after("a", last, "[1]").with_metadata(Json::parse(text).unwrap()).unwrap();
        store.commit(commit).await.unwrap();
    }
    let read = whole_stream(&store, "a").await;
    assert!(read.iter().map(|it| it.metadata.as_str()).eq(&texts), "{read:?}");
    let log = whole_log(&subject.log(), texts.len()).await;
    assert!(log.iter().map(|it| it.metadata.as_str()).eq(&texts));
}

/// White space between tokens goes, within texts it stays, and two spellings of it are one body.
pub async fn white_space_between_tokens_is_all_that_goes<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let spaced = Events::parse(" [ { \"a b\" : \" c  d \" ,\n\t\"e\" : [ 1 , 2 ] } ] ").unwrap();
    store.commit(crate::Commit::new(stream("a"), crate::Expectation::NewStream, spaced)).await.unwrap();
    let read = whole_stream(&store, "a").await;
    assert_eq!(read[0].events, events(r#"[{"a b":" c  d ","e":[1,2]}]"#));
    assert_eq!(read[0].events.as_stored(), r#"[{"a b":" c  d ","e":[1,2]}]"#);
}

/// Ten thousand events in one changeset are ten thousand numbers.
pub async fn a_changeset_may_hold_many_events<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    // Two bytes an event: as many as every store has room for.
    let count = (S::CAPABILITIES.limit_bytes / 2 - 10).min(10_000);
    store.commit(first("a", &format!("[{}]", vec!["7"; count].join(",")))).await.unwrap();
    store.commit(commit_after("a", 1, "[8]")).await.unwrap();
    let read = whole_stream(&store, "a").await;
    assert_eq!((read[0].events.count(), read[1].first_event_id.get()), (count as u64, count as u64 + 1));
}
