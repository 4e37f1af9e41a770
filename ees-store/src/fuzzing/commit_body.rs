//! The bodies of commits.

use super::reference_json::{self, Refused, Value, text};
use crate::http::body::parse;
use crate::{Events, Json};

/// A body is accepted if and only if it is an object of `events` and `metadata` as a commit wants them, each once.
/// Both are taken as they were written, but for white space.
pub fn commit_body(data: &[u8]) {
    let parsed = parse(data);
    let wanted = str::from_utf8(data).map_err(|_| Refused::NotJson).and_then(reference_json::read);
    let Ok((body, _)) = wanted else {
        assert!(parsed.is_err(), "it is no JSON, or too deep, and was accepted");
        return;
    };
    assert_eq!(parsed.is_ok(), is_commit(&body), "{parsed:?}");
    let Ok((events, metadata)) = parsed else { return };
    let stored = reference_json::read(events.as_stored()).map(|(value, _)| value);
    assert_eq!(stored.as_ref().ok(), body.member("events"));
    let Ok(Value::List(elements)) = stored else { panic!("the events are no list") };
    assert_eq!(events.count(), elements.len() as u64);
    assert_eq!(events.iter().map(Iterator::count), Ok(elements.len()));
    let read = metadata.as_ref().and_then(|text| reference_json::read(text.as_str()).ok());
    assert_eq!(read.as_ref().map(|(value, _)| value), body.member("metadata"));
    sends_again(&events, metadata.as_ref());
}

fn is_commit(body: &Value) -> bool {
    let Value::Object(members) = body else { return false };
    let names: Vec<_> = members.iter().map(|(name, _)| name).collect();
    let each_once = [text("events"), text("metadata")]
        .iter()
        .all(|known| names.iter().filter(|name| **name == known).count() <= 1);
    let no_other = names.iter().all(|name| [text("events"), text("metadata")].contains(name));
    let events = match body.member("events") {
        Some(Value::List(events)) => {
            !events.is_empty() && events.iter().all(|it| it.depth() <= Json::DEPTH_MAX)
        }
        _ => false,
    };
    let metadata = match body.member("metadata") {
        Some(object @ Value::Object(_)) => object.depth() <= Json::DEPTH_MAX,
        other => other.is_none(),
    };
    each_once && no_other && events && metadata
}

/// What was accepted is a body that a client sends.
fn sends_again(events: &Events, metadata: Option<&Json>) {
    let metadata = metadata.map(|metadata| format!(",\"metadata\":{metadata}")).unwrap_or_default();
    let again = format!("{{\"events\":{}{metadata}}}", events.as_stored());
    let parsed = parse(again.as_bytes());
    assert_eq!(parsed.ok().map(|(events, _)| events).as_ref(), Some(events));
}
