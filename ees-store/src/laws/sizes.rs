//! The largest changeset, to the byte.

use super::Subject;
use super::steps::{append, commit_after, first, is_missing, refused, whole_log, whole_stream};
use crate::{Commit, Json, Refusal};

/// A commit of exactly this many bytes, half of them in the metadata if it has metadata.
fn of_size(bytes: usize, text: &str, with_metadata: bool) -> Commit {
    let in_metadata = if with_metadata { bytes / 2 } else { 2 };
    let fill = |count: usize| {
        assert!(count >= text.len(), "there is room for the text");
        format!("{text}{}", "x".repeat(count - text.len()))
    };
    let metadata = match in_metadata {
        2 => "{}".to_owned(),
        bytes => format!("{{\"a\":\"{}\"}}", fill(bytes - 8)),
    };
    let events = format!("[\"{}\"]", fill(bytes - in_metadata - 4));
    let commit = first("a", &events).with_metadata(Json::parse(&metadata).unwrap()).unwrap();
    assert_eq!(commit.size_bytes(), bytes);
    commit
}

/// In events or metadata, in bytes and not in characters: the limit itself is kept, one more is refused.
pub async fn a_changeset_of_exactly_the_limit_is_kept_and_one_byte_more_refused<S: Subject>() {
    let limit_bytes = S::CAPABILITIES.limit_bytes;
    let wide = "\u{1f980}ä".repeat(limit_bytes / 30);
    for (text, with_metadata) in [("", false), ("", true), (wide.as_str(), false), (wide.as_str(), true)] {
        let subject = S::new().await;
        let (store, log) = (subject.store(), subject.log());
        let size_bytes = limit_bytes + 1;
        let too_large = refused(&store, of_size(size_bytes, text, with_metadata)).await;
        assert_eq!(too_large, Refusal::TooLarge { size_bytes, limit_bytes });
        assert!(is_missing(&store, "a").await);

        let largest = of_size(limit_bytes, text, with_metadata);
        store.commit(largest.clone()).await.unwrap();
        let read = whole_stream(&store, "a").await;
        assert!(read[0].events == largest.events && read[0].metadata == largest.metadata);
        append(&store, "a", 1, "[1]").await;
        assert!(whole_log(&log, 2).await[0].changeset == read[0]);
    }
}

/// Far beyond the limit is the same refusal, not a broken connection or a failure.
pub async fn far_too_much_is_refused_likewise<S: Subject>() {
    let subject = S::new().await;
    let (size_bytes, limit_bytes) = (3 * S::CAPABILITIES.limit_bytes, S::CAPABILITIES.limit_bytes);
    let too_large = refused(&subject.store(), of_size(size_bytes, "", false)).await;
    assert_eq!(too_large, Refusal::TooLarge { size_bytes, limit_bytes });
    append(&subject.store(), "a", 0, "[1]").await;
}

/// White space is not stored, so it does not count.
pub async fn the_limit_is_about_what_is_stored<S: Subject>() {
    let subject = S::new().await;
    let limit = S::CAPABILITIES.limit_bytes;
    let spaced = format!("[ \"{}\" ]", "x".repeat(limit - 6));
    let commit = commit_after("a", 0, &spaced);
    assert_eq!(commit.size_bytes(), limit);
    subject.store().commit(commit).await.unwrap();
}
