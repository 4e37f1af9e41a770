//! Which events an enum names, asked of serde.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;

use crate::json;

/// Reads an event as an `E`; `None` if the event is not one of `E`'s.
///
/// For an enum tagged with `type`: an event whose type the enum does not name is *not mine*; an event whose
/// type it names, but which does not fit, is *mine but unreadable*. Other types (structs, untagged enums)
/// accept every event as theirs: give such a reader a [`Filter`](crate::Filter).
///
/// # Errors
/// Why the event does not fit.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Account { Opened { owner: String } }
///
/// let read = ees_store::event::read_event::<Account>;
/// assert!(matches!(read(r#"{"type": "opened", "owner": "ada"}"#), Ok(Some(Account::Opened { .. }))));
/// assert!(matches!(read(r#"{"type": "shipped"}"#), Ok(None)));
/// assert!(read(r#"{"type": "opened"}"#).is_err());
/// ```
pub fn read_event<E: DeserializeOwned>(event: &str) -> Result<Option<E>, String> {
    // serde reads a tagged enum from a list too, and takes its first element for the tag.
    if !event.trim_ascii_start().starts_with('{') && is_foreign::<E>(None) {
        return Ok(None);
    }
    match serde_json::from_str(event) {
        Ok(read) => Ok(Some(read)),
        Err(_) if is_foreign::<E>(json::event_type(event).as_deref()) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the event types that an enum tagged with `type` names; `None` for a type that accepts every event,
/// or has a variant for all others (`#[serde(other)]`).
///
/// The names come from serde, so there is no list to maintain: `rename`, `rename_all` and `alias` count.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Account { Opened { owner: String }, MoneyDeposited { amount: i64 } }
///
/// assert_eq!(ees_store::event::types_of::<Account>(), Some(&["opened", "money_deposited"][..]));
/// ```
pub fn types_of<E: DeserializeOwned>() -> Option<&'static [&'static str]> {
    // No enum has a variant of this name: a control character is not what people call an event.
    match ask::<E>(Some("\u{0}")) {
        Err(Probe::UnknownVariant(known)) => Some(known),
        _ => None,
    }
}

/// Whether an event of this type is none of `E`'s.
pub(super) fn is_foreign<E: DeserializeOwned>(tag: Option<&str>) -> bool {
    match ask::<E>(tag) {
        Err(Probe::UnknownVariant(_)) => true,
        Err(Probe::NoTag) => tag.is_none(),
        Err(Probe::Other) | Ok(_) => false,
    }
}

/// Shows the type nothing but the tag: an enum that does not know it says so before it asks for anything
/// else.
fn ask<E: DeserializeOwned>(tag: Option<&str>) -> Result<E, Probe> {
    let only_the_tag = tag.into_iter().map(|name| ("type", name));
    E::deserialize(MapDeserializer::<_, Probe>::new(only_the_tag))
}

/// What a type says of a tag.
#[derive(Debug)]
enum Probe {
    UnknownVariant(&'static [&'static str]),
    NoTag,
    Other,
}

impl serde::de::Error for Probe {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownVariant(known)
    }
    fn missing_field(field: &'static str) -> Self {
        if field == "type" { Self::NoTag } else { Self::custom(field) }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Probe {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    enum Currency {
        Euro,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Inside {
        Opened,
        #[serde(alias = "paid_in")]
        Paid {
            currency: Currency,
        },
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", content = "payload", rename_all = "snake_case")]
    enum Beside {
        Paid(u32),
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Open {
        Paid,
        #[serde(other)]
        Whatever,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Plain {
        amount: u32,
    }

    #[test]
    fn an_event_of_an_unknown_type_is_not_mine() {
        for foreign in [r#"{"type":"shipped"}"#, r#"{"amount":1}"#, "7", "[]", r#"{"type":7}"#] {
            assert_eq!(read_event::<Inside>(foreign), Ok(None), "{foreign}");
        }
        assert_eq!(read_event::<Beside>(r#"{"type":"shipped","payload":1}"#), Ok(None));
        assert_eq!(read_event::<Inside>(r#"["opened"]"#), Ok(None));
        assert_eq!(read_event::<Beside>(r#"["paid",1]"#), Ok(None));
    }

    #[test]
    fn an_event_of_a_known_type_that_does_not_fit_is_an_error() {
        assert_eq!(read_event::<Inside>(r#"{"type":"opened"}"#), Ok(Some(Inside::Opened)));
        for broken in [
            r#"{"type":"paid"}"#,
            r#"{"type":"paid","currency":"Dollar"}"#,
            r#"{"type":"paid","currency":1}"#,
        ] {
            assert!(read_event::<Inside>(broken).is_err(), "{broken}");
        }
        assert!(read_event::<Beside>(r#"{"type":"paid"}"#).is_err());
        assert!(read_event::<Beside>(r#"{"type":"paid","payload":"x"}"#).is_err());
    }

    #[test]
    fn a_type_without_a_tag_takes_every_event() {
        assert_eq!(read_event(r#"{"amount":1}"#), Ok(Some(Plain { amount: 1 })));
        assert!(read_event::<Plain>(r#"{"type":"shipped"}"#).is_err());
    }

    #[test]
    fn an_enum_names_its_types_and_what_takes_every_event_names_none() {
        let mut inside = types_of::<Inside>().unwrap().to_vec();
        inside.sort_unstable();
        assert_eq!(inside, ["opened", "paid", "paid_in"]);
        assert_eq!(types_of::<Beside>(), Some(&["paid"][..]));
        assert_eq!((types_of::<Open>(), types_of::<Plain>()), (None, None));
        assert_eq!(types_of::<serde_json::Value>(), None);
    }
}
