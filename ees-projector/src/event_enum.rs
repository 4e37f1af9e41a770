//! Finds out how an event type is told apart, asked of serde.

use std::fmt;
use std::panic::AssertUnwindSafe;

use ees_store::Filter;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Why an event type does not tell events apart by their `type`.
#[derive(Debug)]
pub(crate) enum Objection {
    /// No event can be recognized.
    Certain(String),
    /// A log may have events that fit, such as one that another system has written.
    Likely(String),
}

/// Returns why an event type can't tell events apart by their `type`, if that is so.
///
/// An enum should be tagged with `type`. A filter allows an untagged enum: then its events are told apart before
/// they are read.
pub(crate) fn objection_to<E: DeserializeOwned>(filter: &Filter) -> Option<Objection> {
    let asked = std::panic::catch_unwind(AssertUnwindSafe(|| E::deserialize(NoEvent)));
    // A panic is of the type's own code, which may want a real event.
    let answer = asked.ok()?.err()?;
    let fix = "add #[serde(tag = \"type\")]";
    match answer {
        Answer::ByName(name) => {
            let reason = format!("the enum {name} is not tagged: {fix}");
            // An event that passes has a `type`; such an enum reads only events whose one member is the name.
            let can_fit = filter.event_types.is_empty();
            Some(if can_fit { Objection::Likely(reason) } else { Objection::Certain(reason) })
        }
        Answer::OtherTag(tag) => Some(Objection::Likely(format!(
            "it is tagged with \"{tag}\", and events have their type in \"type\": {fix}"
        ))),
        Answer::Untagged if filter.stream_types.is_empty() && filter.event_types.is_empty() => {
            Some(Objection::Likely(format!(
                "the enum is untagged, so other projections' events can't be read: {fix}, or give a filter"
            )))
        }
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

    /// What a struct with `#[serde(flatten)]` asks for.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Answer> {
        let answer = visitor.visit_map(unknown());
        answer.map_err(|answer| if let Answer::OtherTag(_) = answer { Answer::Other } else { answer })
    }

    /// What a struct asks for, and an enum with its content beside the tag: neither needs the tag first.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Answer> {
        self.deserialize_map(visitor)
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
        tuple tuple_struct identifier ignored_any
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

    #[derive(Deserialize)]
    struct Names {
        account: String,
    }

    #[derive(Deserialize)]
    struct Flattened {
        account: String,
        #[serde(flatten)]
        names: Names,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, IgnoredAny>,
    }

    fn reason<E: DeserializeOwned>(filter: &Filter) -> Option<String> {
        objection_to::<E>(filter).map(|(Objection::Likely(reason) | Objection::Certain(reason))| reason)
    }

    #[test]
    fn an_enum_that_is_not_tagged_with_type_is_objected_to() {
        let all = Filter::default();
        let of_type = Filter::event_types(["opened"]);
        let of_streams = Filter::stream_type("account".parse().unwrap());
        let inside = [
            reason::<Inside>(&all),
            reason::<Beside>(&all),
            reason::<Everything>(&all),
            reason::<Plain>(&all),
            reason::<Flattened>(&all),
            reason::<serde_json::Value>(&all),
            reason::<Box<serde_json::value::RawValue>>(&all),
            reason::<IgnoredAny>(&all),
            reason::<String>(&all),
            reason::<Option<Inside>>(&all),
            reason::<Untagged>(&of_type),
            reason::<Untagged>(&of_streams),
        ];
        assert_eq!(inside, [const { None }; 12]);
        assert!(reason::<ByName>(&all).unwrap().contains("the enum ByName is not tagged"));
        assert!(reason::<Wrapped>(&all).unwrap().contains("the enum ByName is not tagged"));
        assert!(reason::<OtherTag>(&all).unwrap().contains("tagged with \"kind\""));
        assert!(reason::<Untagged>(&all).unwrap().contains("untagged"));
    }

    #[test]
    fn the_objection_is_certain_only_where_no_event_can_fit() {
        let of_type = Filter::event_types(["opened"]);
        assert!(matches!(objection_to::<ByName>(&of_type), Some(Objection::Certain(_))));
        // `{"opened": {"owner": "ada"}}` and `{"kind": "Opened"}` can be in a log.
        for objection in [objection_to::<ByName>(&Filter::default()), objection_to::<OtherTag>(&of_type)] {
            assert!(matches!(objection, Some(Objection::Likely(_))), "{objection:?}");
        }
    }
}
