//! The members of an event that is being brought up to date.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::InvalidJson;

/// The members of an event, by name, as an upcaster sees and changes them.
///
/// What is not touched stays as it was, digit for digit. The event's type and version are the framework's to change.
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

    /// Whether there is such a member.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Reads a member; one that is missing reads as `null` would.
    ///
    /// # Errors
    /// [`InvalidJson`] when it is no `T`, or missing and `T` is no `Option`.
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

    /// Adds a member, or replaces it.
    ///
    /// # Errors
    /// [`InvalidJson`] when the value has no JSON form.
    pub fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), InvalidJson> {
        let value = serde_json::value::to_raw_value(value)
            .map_err(|e| InvalidJson(format!("the new member {name:?}: {e}")))?;
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Gives a member another name, if it is there.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(value) = self.0.remove(from) {
            self.0.insert(to.to_owned(), value);
        }
    }

    /// Removes a member, if it is there.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }
}
