//! Stream ids are any text: each its own stream, in its own spelling.

use super::Subject;
use super::steps::{commit_after, first, refused, whole_log, whole_stream};
use crate::{Checkpoint, Refusal, StreamId};

/// Texts that a store or a path in between may take for one another, or for something else.
fn delicate() -> Vec<String> {
    let longest = "l".repeat(StreamId::BYTES_MAX);
    let longest_of_wide = "\u{1f980}".repeat(StreamId::BYTES_MAX / 4);
    [
        "a",
        "A",
        " a",
        "a ",
        "a/",
        "/a",
        "//",
        "/",
        "a//b",
        "a/b",
        "a%2Fb",
        "a%2fb",
        "a%252Fb",
        "a+b",
        "a b",
        "a%20b",
        "a?b",
        "a#b",
        "a&b=c",
        "a;b",
        "a\\b",
        "a'b",
        "a\"b",
        "a:b",
        "a@b",
        "a*",
        "%",
        "%%",
        "%zz",
        "_",
        "-",
        "~",
        "...",
        "./a",
        "../a",
        "a/..",
        "a/../b",
        "a/.",
        ".a",
        "changesets",
        "a/changesets",
        "a/events",
        "a/changesets?from=1",
        "null",
        "0",
        "00",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "\u{130}",
        "i",
        "\u{1f980}",
        "\u{feff}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "!!!RESERVED",
        "!!!reserved:x",
        "<b>&amp;",
        "{}",
        "[1]",
        "$1",
        "?1",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([longest.clone(), longest[1..].to_owned(), longest_of_wide])
    .collect()
}

/// Whatever they are called, streams do not mix, and their names come back as they were given.
pub async fn every_id_is_a_stream_of_its_own<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let names = delicate();
    for (number, name) in names.iter().enumerate() {
        store.commit(first(name, &format!("[{number}]"))).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        let read = whole_stream(&store, name).await;
        let seen: Vec<_> = read.iter().map(|it| (it.stream_id.as_str(), it.events.as_stored())).collect();
        assert_eq!(seen, [(name.as_str(), format!("[{number}]").as_str())]);
        store.commit(commit_after(name, 1, "[\"second\"]")).await.unwrap();
    }
    let log = whole_log(&subject.log(), 2 * names.len()).await;
    for name in &names {
        let of_stream = || log.iter().filter(|it| it.stream_id.as_str() == name);
        assert_eq!(of_stream().map(|it| it.changeset_id.get()).collect::<Vec<_>>(), [1, 2], "{name:?}");
    }
}

/// Ids are located and refused under their own name too.
pub async fn every_id_is_located_and_refused_by_its_name<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    let names = delicate();
    for name in &names {
        store.commit(first(name, "[1]")).await.unwrap();
        let ahead = commit_after(name, 4, "[1]");
        let want = Refusal::AheadOfStream {
            stream_id: name.parse().unwrap(),
            expectation: ahead.expectation,
            last: 1,
        };
        assert_eq!(refused(&store, ahead).await, want);
    }
    for it in whole_log(&log, names.len()).await {
        let place: Option<Checkpoint> = log.locate(&it.stream_id, it.changeset_id).await.unwrap();
        assert_eq!(place, Some(it.checkpoint), "{}", it.stream_id);
    }
}
