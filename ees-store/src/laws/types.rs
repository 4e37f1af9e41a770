//! Stream types: given by the first commit, fixed from then on.

use super::Subject;
use super::steps::{append, commit_after, first, race, refused, whole_log, whole_stream};
use crate::{Commit, Refusal, StreamType};

fn name(text: &str) -> StreamType {
    text.parse().unwrap()
}

fn typed(commit: Commit, text: &str) -> Commit {
    commit.with_stream_type(name(text))
}

/// Later commits repeat it or leave it out; every changeset carries it.
pub async fn a_stream_keeps_the_type_of_its_first_commit<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    store.commit(typed(commit_after("a", 0, "[1]"), "account")).await.unwrap();
    append(&store, "a", 1, "[2]").await;
    store.commit(typed(commit_after("a", 2, "[3]"), "account")).await.unwrap();
    let read = whole_stream(&store, "a").await;
    assert!(read.iter().all(|it| it.stream_type == Some(name("account"))), "{read:?}");
    let log = whole_log(&subject.log(), 3).await;
    assert!(log.iter().map(|it| &it.changeset).eq(&read));
}

/// Another type, in whatever it differs, is refused, and so is one on a stream that began without.
pub async fn another_type_is_refused<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    store.commit(typed(first("a", "[1]"), "account")).await.unwrap();
    append(&store, "untyped", 0, "[1]").await;
    for (stream, known, given) in [
        ("a", Some("account"), "order"),
        ("a", Some("account"), "Account"),
        ("a", Some("account"), "accounts"),
        ("untyped", None, "account"),
    ] {
        let want = Refusal::TypeMismatch { known: known.map(name), given: name(given) };
        assert_eq!(refused(&store, typed(commit_after(stream, 1, "[2]"), given)).await, want);
    }
    append(&store, "a", 1, "[2]").await;
    append(&store, "untyped", 1, "[2]").await;
    whole_log(&subject.log(), 4).await;
}

/// A first commit that was refused gives no type.
pub async fn a_refused_first_commit_fixes_no_type<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    refused(&store, typed(commit_after("a", 1, "[1]"), "account")).await;
    append(&store, "a", 0, "[1]").await;
    assert_eq!(whole_stream(&store, "a").await[0].stream_type, None);
}

/// Each stream has its own, and any text will do.
pub async fn types_are_any_text<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let longest = "t".repeat(StreamType::BYTES_MAX);
    let texts = ["a", "A", "a b", "a/b", "a,b", "\"a\"", "ä \u{1f980}", "%41", "\u{ffff}", &longest];
    for (number, text) in texts.iter().enumerate() {
        store.commit(typed(first(&format!("s{number}"), "[1]"), text)).await.unwrap();
    }
    for (number, text) in texts.iter().enumerate() {
        let read = whole_stream(&store, &format!("s{number}")).await;
        assert_eq!(read[0].stream_type, Some(name(text)));
    }
}

/// Racing first commits with eight types: one type wins, and is the stream's.
pub async fn of_racing_types_one_wins<S: Subject>() {
    let subject = S::new().await;
    for round in 0..5 {
        let stream = format!("s{round}");
        let verdicts = race((0..16).map(|writer| {
            let store = subject.store();
            let commit = typed(first(&stream, "[1]"), &format!("type-{}", writer % 8));
            async move { (commit.stream_type.clone(), store.commit(commit).await) }
        }))
        .await;
        let winners: Vec<_> =
            verdicts.into_iter().filter(|(_, verdict)| verdict.is_ok()).map(|it| it.0).collect();
        let stored: Vec<_> =
            whole_stream(&subject.store(), &stream).await.into_iter().map(|it| it.stream_type).collect();
        assert_eq!((winners.len(), &winners), (1, &stored));
    }
}
