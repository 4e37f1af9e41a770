//! The bodies of bulk commits.

use super::reference_json;
use crate::Commit;
use crate::client::bulk::line;
use crate::http::body;
use crate::http::bulk_body::{LINES_MAX, parse};

/// A body is accepted if and only if each of its lines is, as what it is by itself. What was accepted is what a client sends,
/// and its events and metadata are those of a commit of its own.
pub fn bulk_body(data: &[u8]) {
    let parsed = parse(data);
    let Ok(text) = str::from_utf8(data) else {
        assert!(parsed.is_err(), "it is no text, and was accepted");
        return;
    };
    let lines: Vec<&str> = text.split('\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let alone: Vec<_> = lines.iter().map(|line| parse(line.as_bytes())).collect();
    let is_valid = (1..=LINES_MAX).contains(&alone.len()) && alone.iter().all(Result::is_ok);
    assert_eq!(parsed.is_ok(), is_valid, "{parsed:?}");
    let Ok(commits) = parsed else { return };
    assert_eq!(told(&commits), told(&alone.into_iter().flatten().flatten().collect::<Vec<_>>()));
    let again: String = commits.iter().filter_map(line).collect();
    let sent = parse(again.as_bytes());
    assert_eq!(sent.as_deref().map(told).ok(), Some(told(&commits)), "{again}");
    for (commit, line) in commits.iter().zip(lines) {
        let Ok((read, _)) = reference_json::read(line) else {
            panic!("it is no JSON, or too deep, and was accepted")
        };
        let stored = reference_json::read(commit.events.as_stored()).map(|(value, _)| value);
        assert_eq!(stored.as_ref().ok(), read.member("events"));
        let single =
            format!("{{\"events\":{},\"metadata\":{}}}", commit.events.as_stored(), commit.metadata());
        let single = body::parse(single.as_bytes()).map(|(events, metadata)| (Some(events), metadata));
        assert_eq!(single.ok(), Some((Some(commit.events.clone()), Some(commit.metadata().clone()))));
    }
}

fn told(commits: &[Commit]) -> String {
    format!("{commits:?}")
}
