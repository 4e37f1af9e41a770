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

/// The event under this name, as the one event of a changeset.
pub(super) fn new_event(body: &[u8], name: &str) -> Result<Events, Problem> {
    let body: Value =
        serde_json::from_slice(body).map_err(|why| bad("the body", format!("is invalid: {why}")))?;
    let unknown = |of: &Value, known: &[&str], at: &str| {
        let name = of.as_object()?.keys().find(|name| !known.contains(&name.as_str()))?;
        Some(bad(&format!("{at}{name}"), format!("is unknown. {}", strict::instead(name, known))))
    };
    if let Some(problem) = unknown(&body, &[name], "") {
        return Err(problem);
    }
    let event = body.get(name).filter(|event| event.is_object());
    let event = event.ok_or_else(|| bad(name, "is required, and an object"))?;
    if let Some(problem) = unknown(event, &["eventType", "payload"], &format!("{name}.")) {
        return Err(problem);
    }
    let text = |member: &str| match event.get(member) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
        Some(Value::String(_)) => Err(bad(member, format!("of {name} must not be empty"))),
        Some(_) => Err(bad(member, format!("of {name} must be a text"))),
        None => Err(bad(member, format!("of {name} is required"))),
    };
    let stored = Stored { event_type: text("eventType")?, payload: text("payload")? };
    Events::of(&[stored]).map_err(Problem::internal)
}
