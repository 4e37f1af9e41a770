//! Finds out how an event type is told apart, asked of serde.

use std::fmt;
use std::panic::AssertUnwindSafe;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Returns why an event type can't tell events apart by their `type`, if that is so.
///
/// An enum must be tagged with `type`. A filter by event types allows an untagged enum: then its events are told
/// apart before they are read.
pub(crate) fn objection_to<E: DeserializeOwned>(has_filter: bool) -> Option<String> {
    let asked = std::panic::catch_unwind(AssertUnwindSafe(|| E::deserialize(NoEvent)));
    // A panic is of the type's own code, which may want a real event.
    let answer = asked.ok()?.err()?;
    let fix = "add #[serde(tag = \"type\")]";
    match answer {
        Answer::ByName(name) => Some(format!("the enum {name} is not tagged: {fix}")),
        Answer::OtherTag(tag) => {
            Some(format!("it is tagged with \"{tag}\", and events have their type in \"type\": {fix}"))
        }
        Answer::Untagged if !has_filter => Some(format!(
            "the enum is untagged, so that every event of others can't be read: {fix}, or give a filter of event types"
        )),
        Answer::Untagged | Answer::Other => None,
    }
}

/// An event of a type that no enum knows.
struct NoEvent;

impl<'de> Deserializer<'de> for NoEvent {
    type Error = Answer;

    /// What an enum with a tag inside asks for.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
        visitor.visit_map(unknown())
    }

    /// What an enum asks for that is told apart by the name of its only member.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Answer> {
        Err(Answer::ByName(name))
    }

    /// What a struct asks for, and an enum with its content beside the tag: neither needs the tag first.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Answer> {
        let answer = visitor.visit_map(unknown());
        answer.map_err(|answer| if let Answer::OtherTag(_) = answer { Answer::Other } else { answer })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Answer> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

type Unknown<'de> =
    MapDeserializer<'de, std::iter::Once<(&'static str, StrDeserializer<'static, Answer>)>, Answer>;

fn unknown<'de>() -> Unknown<'de> {
    // No enum has a variant of this name: a control character is not what people call an event.
    MapDeserializer::new(std::iter::once(("type", StrDeserializer::new("\0"))))
}

/// What a type says of that event.
#[derive(Debug)]
enum Answer {
    ByName(&'static str),
    OtherTag(&'static str),
    Untagged,
    Other,
}

impl serde::de::Error for Answer {
    fn custom<T: fmt::Display>(text: T) -> Self {
        // Serde has no other sign of it.
        if text.to_string().starts_with("data did not match any variant of untagged enum") {
            Self::Untagged
        } else {
            Self::Other
        }
    }
    fn missing_field(field: &'static str) -> Self {
        if field == "type" { Self::Other } else { Self::OtherTag(field) }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Answer {}

#[cfg(test)]
#[expect(dead_code, reason = "only how the types are read matters")]
mod tests {
    use serde::Deserialize;
    use serde::de::IgnoredAny;

    use super::*;

    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Inside {
        Opened { owner: String },
        Closed,
    }

    #[derive(Deserialize)]
    #[serde(tag = "type", content = "data")]
    enum Beside {
        Opened(String),
    }

    #[derive(Deserialize)]
    enum ByName {
        Opened { owner: String },
    }

    #[derive(Deserialize)]
    #[serde(tag = "kind")]
    enum OtherTag {
        Opened { owner: String },
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Opened { owner: String },
        Closed { reason: String },
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Everything {
        Mine(Inside),
        Others(IgnoredAny),
    }

    #[derive(Deserialize)]
    struct Plain {
        amount: u32,
    }

    #[derive(Deserialize)]
    struct Wrapped(ByName);

    #[test]
    fn an_enum_that_is_not_tagged_with_type_is_objected_to() {
        let inside = [
            objection_to::<Inside>(false),
            objection_to::<Beside>(false),
            objection_to::<Everything>(false),
            objection_to::<Plain>(false),
            objection_to::<serde_json::Value>(false),
            objection_to::<Box<serde_json::value::RawValue>>(false),
            objection_to::<IgnoredAny>(false),
            objection_to::<String>(false),
            objection_to::<Option<Inside>>(false),
            objection_to::<Untagged>(true),
        ];
        assert_eq!(inside, [const { None }; 10]);
        assert!(objection_to::<ByName>(false).unwrap().contains("the enum ByName is not tagged"));
        assert!(objection_to::<Wrapped>(false).unwrap().contains("the enum ByName is not tagged"));
        assert!(objection_to::<OtherTag>(false).unwrap().contains("tagged with \"kind\""));
        assert!(objection_to::<Untagged>(false).unwrap().contains("untagged"));
    }
}
