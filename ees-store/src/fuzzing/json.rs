//! JSON as text.

use serde_json::Value as SerdeValue;

use super::reference_json::{self, Value};
use crate::Json;
use crate::json::{elements, event_type, indent, indent_within, indented_len, member};

/// A text is accepted if and only if a second reader accepts it, and means the same as before without its white space.
pub fn json(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let parsed = Json::parse(text);
    let Ok((value, compact)) = reference_json::read(text) else {
        assert!(parsed.is_err(), "it is no JSON, or too deep, and was accepted");
        return;
    };
    assert_eq!(parsed.is_ok(), value.depth() <= Json::DEPTH_MAX, "{parsed:?}");
    let within_a_list = serde_json::from_str::<Json>(text);
    assert_eq!(within_a_list.is_ok(), value.depth() <= Json::DEPTH_MAX + 1, "{within_a_list:?}");
    let Ok(json) = parsed else { return };
    assert_eq!(json.as_str(), compact);
    assert_eq!(Json::parse(json.as_str()), Ok(json.clone()));
    assert_eq!(serde_json::to_string(&json).ok().as_deref(), Some(json.as_str()));
    let by_serde = |text: &str| serde_json::from_str::<SerdeValue>(text).ok();
    assert_eq!(by_serde(json.as_str()), by_serde(text));
    is_indented(json.as_str());
    falls_into_its_parts(&json, &value);
}

fn is_indented(compact: &str) {
    let indented = indent(compact);
    assert_eq!(Json::parse(&indented).as_ref().map(Json::as_str), Ok(compact));
    let bytes = indented.len();
    assert_eq!(indent_within(compact, bytes, str::len), Some(indented));
    assert_eq!(indent_within(compact, bytes - 1, str::len), None);
    assert_eq!(indented_len(compact, 0, usize::MAX, str::len), Some(bytes));
}

fn falls_into_its_parts(json: &Json, value: &Value) {
    let read = |part: &str| reference_json::read(part).map(|(value, _)| value).ok();
    match value {
        Value::List(list) => {
            let found: Option<Vec<Value>> = elements(json.as_str()).map(read).collect();
            assert_eq!(found.as_ref(), Some(list));
        }
        Value::Object(members) => {
            for (name, _) in members {
                // No text names a member whose name no text can hold.
                let Ok(name) = String::from_utf16(name) else { continue };
                assert_eq!(
                    member(json.as_str(), &name).and_then(read).as_ref(),
                    value.member(&name),
                    "{name:?}"
                );
            }
        }
        _ => {}
    }
    let named = value.member("type").and_then(Value::as_text);
    assert_eq!(event_type(json.as_str()).as_deref(), named.as_deref());
}
