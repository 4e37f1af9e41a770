//! The members of an event, as an upcaster changes them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::InvalidJson;

/// The members of an event, by name, as an upcaster reads and changes them.
///
/// Members that the upcaster does not touch stay as they were, digit for digit. The framework sets the
/// event's type and version.
///
/// ```
/// # use ees_store::event::Upcasters;
/// let upcasters = Upcasters::new().step(("deposited", 1), ("deposited", 2), |event| {
///     let euros: i64 = event.take("euros")?;
///     event.set("cents", &(euros * 100))?;
///     event.rename("by", "user");
///     Ok(())
/// })?;
/// let now = upcasters.upcast(r#"{"type":"deposited","euros":5,"by":"ada"}"#)?;
/// assert_eq!(now, r#"{"cents":500,"type":"deposited","user":"ada","version":2}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Reads an object.
    pub(super) fn parse(event: &str) -> Result<Self, InvalidJson> {
        serde_json::from_str(event).map_err(|e| InvalidJson(e.to_string()))
    }

    /// The members as an event.
    pub(super) fn into_text(self) -> Result<String, InvalidJson> {
        serde_json::to_string(&self).map_err(|e| InvalidJson(e.to_string()))
    }

    /// Returns whether the event has this member.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Reads a member. A missing member reads as `null`.
    ///
    /// # Errors
    /// [`InvalidJson`] when the member is not a `T`, or is missing and `T` is not an `Option`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, InvalidJson> {
        let Some(value) = self.0.get(name) else {
            let missing = |_| InvalidJson(format!("it has no member {name:?}"));
            return serde_json::from_str("null").map_err(missing);
        };
        serde_json::from_str(value.get()).map_err(|e| InvalidJson(format!("its member {name:?}: {e}")))
    }

    /// Reads a member and removes it.
    ///
    /// # Errors
    /// As [`get`](Members::get).
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, InvalidJson> {
        let value = self.get(name)?;
        self.0.remove(name);
        Ok(value)
    }

    /// Adds or replaces a member.
    ///
    /// # Errors
    /// [`InvalidJson`] when the value can't be serialized as JSON.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), InvalidJson> {
        let value = serde_json::value::to_raw_value(value)
            .map_err(|e| InvalidJson(format!("the new member {name:?}: {e}")))?;
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Renames a member, if the event has it.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(value) = self.0.remove(from) {
            self.0.insert(to.to_owned(), value);
        }
    }

    /// Removes a member, if the event has it.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }
}
