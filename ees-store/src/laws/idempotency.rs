//! Idempotency keys: a commit that is sent again is stored once.

use super::Subject;
use super::steps::{
    append, append_many, commit_after, events, first, labels, race, refusal, refused, stream, whole_log,
    whole_stream,
};
use crate::{Commit, EventId, Expectation, Json, Refusal};

fn with_key(commit: Commit, key: &str) -> Commit {
    commit.with_idempotency_key(key.parse().unwrap())
}

/// However much was committed since.
pub async fn a_repeat_answers_with_the_first_and_stores_nothing<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    append(&store, "a", 0, "[1]").await;
    let commit = with_key(commit_after("a", 1, "[2]"), "key");
    let answer = store.commit(commit.clone()).await.unwrap();
    assert_eq!(store.commit(commit.clone()).await.unwrap(), answer);
    append(&store, "a", 2, "[3]").await;
    append_many(&store, "other", 300).await;
    assert_eq!(store.commit(commit).await.unwrap(), answer);
    assert_eq!(answer.changeset_id.get(), 2);
    assert_eq!(whole_stream(&store, "a").await.len(), 3);
    whole_log(&subject.log(), 303).await;
}

/// A repeat may come with any expectation: the first one's was met.
pub async fn a_repeats_expectation_is_not_looked_at<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let answer = store.commit(with_key(first("a", "[1]"), "key")).await.unwrap();
    append(&store, "a", 1, "[2]").await;
    for expectation in
        [Expectation::NewStream, Expectation::LastChangeset(2.into()), Expectation::LastEvent(EventId::MAX)]
    {
        let repeat = with_key(Commit::new(stream("a"), expectation, events("[1]")), "key");
        assert_eq!(store.commit(repeat).await.unwrap(), answer);
    }
    let later = store.commit(with_key(commit_after("a", 2, "[3]"), "later")).await.unwrap();
    for expectation in [Expectation::NewStream, Expectation::LastChangeset(1.into())] {
        let repeat = with_key(Commit::new(stream("a"), expectation, events("[3]")), "later");
        assert_eq!(store.commit(repeat).await.unwrap(), later);
    }
    assert_eq!(whole_stream(&store, "a").await.len(), 3);
}

/// Other events, other metadata, other spelling: another body. The refusal says so before it looks at the
/// expectation.
pub async fn a_key_with_another_body_is_refused<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let body = |array: &str, metadata: &str| {
        with_key(first("a", array), "key").with_metadata(Json::parse(metadata).unwrap()).unwrap()
    };
    let answer = store.commit(body(r#"[{"a":1,"b":2}]"#, r#"{"by":"ada"}"#)).await.unwrap();
    for (array, metadata) in [
        ("[2]", r#"{"by":"ada"}"#),
        (r#"[{"a":1,"b":2}]"#, "{}"),
        (r#"[{"a":1,"b":2}]"#, r#"{"by":"bob"}"#),
        (r#"[{"b":2,"a":1}]"#, r#"{"by":"ada"}"#),
        (r#"[{"a":1.0,"b":2}]"#, r#"{"by":"ada"}"#),
        (r#"[{"a":1,"b":2},{"a":1,"b":2}]"#, r#"{"by":"ada"}"#),
        (r#"[{"a":1,"b":"2"}]"#, r#"{"by":"ada"}"#),
    ] {
        assert_eq!(refused(&store, body(array, metadata)).await, Refusal::KeyReused, "{array} {metadata}");
        let mut hopeful = body(array, metadata);
        hopeful.expectation = Expectation::LastChangeset(1.into());
        assert_eq!(refused(&store, hopeful).await, Refusal::KeyReused, "{array} {metadata}");
    }
    let spaced = body(" [ {\"a\" :1,\n\"b\": 2 } ] ", "{ \"by\": \"ada\" }");
    assert_eq!(store.commit(spaced).await.unwrap(), answer, "white space between tokens is no difference");
    assert_eq!(whole_stream(&store, "a").await.len(), 1);
}

/// A key belongs to one stream, however stream and key are put together.
pub async fn the_same_key_on_another_stream_is_another_commit<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let pairs = [("a", "bc"), ("ab", "c"), ("b", "bc"), ("a/b", "c"), ("a", "b/c"), ("A", "bc"), ("a", "BC")];
    let mut lengths = std::collections::HashMap::new();
    for (name, key) in pairs {
        let last = lengths.entry(name).or_insert(0);
        let committed = store.commit(with_key(commit_after(name, *last, "[1]"), key)).await.unwrap();
        *last += 1;
        assert_eq!(committed.changeset_id.get(), *last, "{name} {key}");
    }
    whole_log(&subject.log(), pairs.len()).await;
}

/// Any visible ASCII will do, up to 255 characters.
pub async fn a_key_may_hold_any_visible_character<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let all: String = (b'!'..=b'~').map(char::from).collect();
    let keys = [all, "k".repeat(255), "k".repeat(254), "\"".to_owned(), "a,b".to_owned()];
    for (last, key) in (0..).zip(&keys) {
        let commit = with_key(commit_after("a", last, "[1]"), key);
        let answer = store.commit(commit.clone()).await.unwrap();
        assert_eq!(answer.changeset_id.get(), last + 1, "{key:?}");
        assert_eq!(store.commit(commit).await.unwrap(), answer, "{key:?}");
    }
    whole_log(&subject.log(), keys.len()).await;
}

/// A commit that was refused can be sent again with the same key once it fits.
pub async fn a_refused_commit_does_not_use_up_its_key<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    refused(&store, with_key(commit_after("a", 1, "[2]"), "key")).await;
    append(&store, "a", 0, "[1]").await;
    refused(&store, with_key(first("a", "[2]"), "key")).await;
    let typed = with_key(commit_after("a", 1, "[2]"), "key").with_stream_type("t".parse().unwrap());
    refused(&store, typed).await;
    assert_eq!(
        store.commit(with_key(commit_after("a", 1, "[3]"), "key")).await.unwrap().changeset_id.get(),
        2
    );
    assert_eq!(labels(&whole_log(&subject.log(), 2).await), ["a 1 [1]", "a 2 [3]"]);
}

/// Sixteen at once, one changeset; all get its number.
pub async fn concurrent_repeats_are_stored_once<S: Subject>() {
    let subject = S::new().await;
    for round in 0..10 {
        let answers = race((0..16).map(|_| {
            let store = subject.store();
            let commit = with_key(commit_after("a", round, "[1]"), &format!("key-{round}"));
            async move { store.commit(commit).await.unwrap() }
        }))
        .await;
        assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
        assert_eq!(answers[0].changeset_id.get(), round + 1);
    }
    whole_log(&subject.log(), 10).await;
}

/// Sixteen at once with one key and eight bodies: one body is stored, those who sent it know, the others are
/// told.
pub async fn of_concurrent_bodies_under_one_key_one_is_stored<S: Subject>() {
    let subject = S::new().await;
    let verdicts = race((0..16).map(|writer| {
        let (store, body) = (subject.store(), writer % 8);
        let commit = with_key(first("a", &format!("[{body}]")), "key");
        async move { (body, store.commit(commit).await) }
    }))
    .await;
    let whole = whole_log(&subject.log(), 1).await;
    for (body, verdict) in verdicts {
        if whole[0].events == events(&format!("[{body}]")) {
            assert_eq!(verdict.unwrap().changeset_id.get(), 1);
        } else {
            assert_eq!(refusal(verdict), Refusal::KeyReused);
        }
    }
}

/// Attempts at once with the same key, each of which expects another end of a stream that grows meanwhile: one is
/// stored at most, and each that is answered gets its number.
pub async fn concurrent_attempts_that_expect_different_ends_are_stored_once<S: Subject>() {
    let subject = S::new().await;
    let beside = subject.beside().await;
    for round in 0..5 {
        let name = format!("a{round}");
        append(&subject.store(), &name, 0, "[1]").await;
        let attempts = (0..16).map(|attempt| {
            let store = match &beside {
                Some(beside) if attempt % 2 == 1 => beside.store(),
                _ => subject.store(),
            };
            let commit = match attempt % 4 {
                // What lets the stream grow.
                3 => commit_after(&name, 1 + attempt / 8, "[2]"),
                later => with_key(commit_after(&name, 1 + later, "[3]"), "key"),
            };
            async move { (commit.idempotency_key.is_some(), store.commit(commit).await) }
        });
        let verdicts = race(attempts).await;
        let whole = whole_stream(&subject.store(), &name).await;
        let stored = whole.iter().filter(|it| it.events == events("[3]"));
        let stored: Vec<_> = stored.map(|it| it.changeset_id).collect();
        assert!(stored.len() <= 1, "{stored:?}");
        for (_, verdict) in verdicts.into_iter().filter(|(is_keyed, _)| *is_keyed) {
            match verdict {
                Ok(committed) => assert_eq!([committed.changeset_id], *stored),
                Err(error) => assert!(matches!(error, crate::Error::Refused(_)), "{error:?}"),
            }
        }
    }
}
