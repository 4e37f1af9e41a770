//! How a reader reads events.

use serde::de::DeserializeOwned;

use super::decode::{is_foreign, read_event};
use super::upcast::Upcasters;
use crate::{Filter, json};

/// What happens to an event whose type the reader does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// The reader skips it. For readers that need some events of many.
    #[default]
    Skip,
    /// Reading it fails. For readers that must understand every event.
    Refuse,
}

/// How a reader reads events: upcast by [`Upcasters`], and with unknown types skipped or refused.
///
/// The default has no upcasters, and skips unknown types.
///
/// ```
/// use ees_store::Filter;
/// use ees_store::event::{Reading, Unknown, Upcasters};
///
/// #[derive(Debug, PartialEq, serde::Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum Account { Opened }
///
/// let upcasters = Upcasters::new().step(("account_opened", 1), ("opened", 1), |_| Ok(()))?;
/// let reading = Reading::upcasting(upcasters);
/// let all = Filter::default();
/// assert_eq!(reading.read(r#"{"type": "account_opened"}"#, &all), Ok(Some(Account::Opened)));
/// assert_eq!(reading.read::<Account>(r#"{"type": "shipped"}"#, &all), Ok(None));
/// assert!(reading.with_unknown(Unknown::Refuse).read::<Account>(r#"{"type": "shipped"}"#, &all).is_err());
/// # Ok::<(), ees_store::event::InvalidStep>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reading {
    upcasters: Upcasters,
    unknown: Unknown,
}

impl Reading {
    /// Upcasts events, and skips unknown types.
    pub fn upcasting(upcasters: Upcasters) -> Self {
        Self { upcasters, unknown: Unknown::Skip }
    }

    /// Refuses unknown types.
    pub fn refusing_unknown() -> Self {
        Self { unknown: Unknown::Refuse, ..Self::default() }
    }

    /// Sets what happens to events of unknown types. Default: [`Unknown::Skip`].
    #[must_use]
    pub fn with_unknown(self, unknown: Unknown) -> Self {
        Self { unknown, ..self }
    }

    /// Sets the upcasters. Default: none.
    #[must_use]
    pub fn with_upcasters(self, upcasters: Upcasters) -> Self {
        Self { upcasters, ..self }
    }

    /// Returns `true` if events are read as they are, and unknown types are skipped.
    pub fn is_default(&self) -> bool {
        self.upcasters.is_empty() && self.unknown == Unknown::default()
    }

    /// The upcasters.
    pub fn upcasters(&self) -> &Upcasters {
        &self.upcasters
    }

    /// Reads an event; `None` if the filter does not accept its current type, or the reader skips it.
    ///
    /// # Errors
    /// Why the event can't be read, or that its type is unknown and the reader refuses unknown types.
    pub fn read<E: DeserializeOwned>(&self, event: &str, filter: &Filter) -> Result<Option<E>, String> {
        let old = match self.upcasters.old(event) {
            None if !filter.accepts_event(event) => return Ok(None),
            None => return self.known(read_event(event)?, event),
            Some(old) => old,
        };
        let old = match old {
            Ok(old) => old,
            // Its current type is unknown: a reader of what the type has become must not miss it.
            Err(error) => {
                let name = json::event_type(event).unwrap_or_default();
                let is_mine = |name: &str| filter.accepts_type(Some(name)) && !is_foreign::<E>(Some(name));
                return match self.upcasters.names_today(&name).any(is_mine) || is_mine(&name) {
                    true => Err(error.to_string()),
                    false => Ok(None),
                };
            }
        };
        let name = &self.upcasters.destination(&old.at).name;
        if !filter.accepts_type(Some(name)) {
            return Ok(None);
        }
        // Nobody is kept up by an event of others that can't be brought up to date.
        if is_foreign::<E>(Some(name)) {
            return self.known(None, event);
        }
        let now = self.upcasters.bring(old).map_err(|e| e.to_string())?;
        self.known(read_event(&now)?, &now)
    }

    fn known<E>(&self, read: Option<E>, event: &str) -> Result<Option<E>, String> {
        match (read, self.unknown) {
            (None, Unknown::Refuse) => Err(match json::event_type(event) {
                Some(name) => format!("its type {name:?} is unknown"),
                None => "it has no type".to_owned(),
            }),
            (read, _) => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Account {
        Opened,
        Paid { cents: u32 },
    }

    fn reading() -> Reading {
        let upcasters = Upcasters::new()
            .step(("paid", 1), ("paid", 2), |event| {
                event.rename("amount", "cents");
                Ok(())
            })
            .and_then(|it| it.step(("begun", 1), ("opened", 1), |_| Ok(())))
            .and_then(|it| it.step(("broken", 1), ("shipped", 1), |_| Err("always".into())))
            .unwrap();
        Reading::upcasting(upcasters)
    }

    fn read(event: &str) -> Result<Option<Account>, String> {
        reading().read(event, &Filter::default())
    }

    #[test]
    fn an_event_is_read_by_its_name_of_today() {
        assert_eq!(read(r#"{"type":"begun"}"#), Ok(Some(Account::Opened)));
        assert_eq!(read(r#"{"type":"paid","amount":7}"#), Ok(Some(Account::Paid { cents: 7 })));
        assert_eq!(read(r#"{"type":"paid","cents":7,"version":2}"#), Ok(Some(Account::Paid { cents: 7 })));
        assert!(read(r#"{"type":"paid","cents":7,"version":3}"#).unwrap_err().contains("newer"));
        assert!(read(r#"{"type":"paid"}"#).is_err(), "what a step left out is missed");
    }

    #[test]
    fn a_step_that_fails_concerns_those_only_whose_event_it_is() {
        assert_eq!(read(r#"{"type":"broken"}"#), Ok(None));
        assert_eq!(read(r#"{"type":"shipped","version":7}"#), Ok(None));
        assert!(read(r#"{"type":"begun","version":7}"#).is_err(), "it may be an opened one");
        assert!(reading().read::<serde_json::Value>(r#"{"type":"broken"}"#, &Filter::default()).is_err());
    }

    #[test]
    fn a_filter_wants_names_of_today() {
        let opened = Filter::event_types(["opened"]);
        assert_eq!(reading().read(r#"{"type":"begun"}"#, &opened), Ok(Some(Account::Opened)));
        assert_eq!(reading().read::<Account>(r#"{"type":"paid","amount":7}"#, &opened), Ok(None));
        let begun = Filter::event_types(["begun"]);
        assert_eq!(reading().read::<Account>(r#"{"type":"begun"}"#, &begun), Ok(None));
    }

    #[test]
    fn an_unknown_type_is_skipped_or_refused_as_the_reader_chooses() {
        let strict = reading().with_unknown(Unknown::Refuse);
        for unknown in [r#"{"type":"shipped"}"#, r#"{"type":"broken"}"#, "7"] {
            assert_eq!(read(unknown), Ok(None), "{unknown}");
            assert!(strict.read::<Account>(unknown, &Filter::default()).is_err(), "{unknown}");
        }
        let opened = Filter::event_types(["opened"]);
        assert_eq!(strict.read::<Account>(r#"{"type":"shipped"}"#, &opened), Ok(None), "nobody asked for it");
    }
}
