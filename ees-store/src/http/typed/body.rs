//! The new event in a body.

use serde::Serialize;
use serde_json::Value;

use super::super::{Problem, strict};
use super::error_response::bad;
use crate::Events;

/// An event as it is stored.
#[derive(Serialize)]
struct Stored<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    payload: &'a str,
}

/// As existing clients know it; for empty texts, too.
const REQUIRED: &str = "required";

/// The event under this name, as the one event of a changeset.
pub(super) fn new_event(body: &[u8], name: &str) -> Result<Events, Problem> {
    let body: Value =
        serde_json::from_slice(body).map_err(|why| bad("body", format!("is invalid: {why}")))?;
    let unknown = |of: &Value, known: &[&str], at: &str| {
        let name = of.as_object()?.keys().find(|name| !known.contains(&name.as_str()))?;
        Some(bad(&format!("{at}{name}"), format!("is unknown. {}", strict::instead(name, known))))
    };
    if let Some(problem) = unknown(&body, &[name], "") {
        return Err(problem);
    }
    let event = match body.get(name) {
        Some(event) if event.is_object() => event,
        Some(_) => return Err(bad(name, "must be an object")),
        None => return Err(bad(name, REQUIRED)),
    };
    if let Some(problem) = unknown(event, &["eventType", "payload"], &format!("{name}.")) {
        return Err(problem);
    }
    let text = |member: &str| match event.get(member) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
        None | Some(Value::String(_)) => Err(bad(&format!("{name}.{member}"), REQUIRED)),
        Some(_) => Err(bad(&format!("{name}.{member}"), "must be a text")),
    };
    let stored = Stored { event_type: text("eventType")?, payload: text("payload")? };
    Events::of(&[stored]).map_err(Problem::internal)
}
