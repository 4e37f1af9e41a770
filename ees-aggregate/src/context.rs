//! The context of a command: metadata and an idempotency key.

use ees_store::{Changeset, IdempotencyKey, InvalidJson, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Metadata of a changeset: why it was committed, and by whom. Default: empty.
///
/// ```
/// use ees_aggregate::Metadata;
/// let metadata = Metadata::new().correlation_id("request-17").user("ada").with("ip", "10.0.0.7");
/// let text = r#"{"correlation_id":"request-17","user":"ada","ip":"10.0.0.7"}"#;
/// assert_eq!(serde_json::to_string(&metadata)?, text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// Shared by all changesets that follow from one cause: the id of the first request, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The direct cause: a changeset, as [`caused_by`](Metadata::caused_by) names it, or a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The user who sent the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// All other members.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Metadata {
    /// Empty metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the metadata of a changeset.
    ///
    /// # Errors
    /// [`InvalidJson`] when one of the three named members is not a string.
    pub fn of(changeset: &Changeset) -> Result<Self, InvalidJson> {
        changeset.metadata.read()
    }

    /// The metadata for a command that a changeset causes: the same correlation id and user, and the
    /// changeset as causation id, as `stream@number`. If the changeset has no correlation id, its own name
    /// becomes the correlation id.
    ///
    /// # Errors
    /// As [`of`](Metadata::of).
    pub fn caused_by(changeset: &Changeset) -> Result<Self, InvalidJson> {
        let name = format!("{}@{}", changeset.stream_id, changeset.changeset_id);
        let Self { correlation_id, user, .. } = Self::of(changeset)?;
        let correlation_id = correlation_id.or_else(|| Some(name.clone()));
        Ok(Self { correlation_id, causation_id: Some(name), user, others: Map::new() })
    }

    /// Sets the correlation id.
    #[must_use]
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        Self { correlation_id: Some(id.into()), ..self }
    }

    /// Sets the causation id.
    #[must_use]
    pub fn causation_id(self, id: impl Into<String>) -> Self {
        Self { causation_id: Some(id.into()), ..self }
    }

    /// Sets the user.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.others.insert(name.into(), value.into());
        self
    }
}

/// The context of a command: metadata and an idempotency key. Default: no metadata, and a random key.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<IdempotencyKey>,
}

impl Context {
    /// No metadata, and a random key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// Sets the idempotency key, so that the caller may retry the whole command, after a crash for example.
    ///
    /// A retry is never executed twice, as long as the store keeps the key. It decides on the state *after*
    /// the first execution: if it decides the same events, with the same metadata, it returns the first
    /// result; otherwise it fails with [`AlreadyExecuted`](crate::ExecuteError::AlreadyExecuted).
    #[must_use]
    pub fn with_key(self, key: IdempotencyKey) -> Self {
        Self { key: Some(key), ..self }
    }

    pub(crate) fn json(&self) -> Result<Json, InvalidJson> {
        Json::of(&self.metadata)
    }
}

impl From<Metadata> for Context {
    fn from(metadata: Metadata) -> Self {
        Self::new().with_metadata(metadata)
    }
}

#[cfg(test)]
mod tests {
    use ees_store::{ChangesetId, EventId, Events, Timestamp};

    use super::*;

    fn changeset(metadata: &str) -> Changeset {
        Changeset {
            stream_id: "a/1".parse().unwrap(),
            changeset_id: ChangesetId::new(3),
            first_event_id: EventId::new(5),
            events: Events::parse("[1]").unwrap(),
            metadata: Json::parse(metadata).unwrap(),
            timestamp: Timestamp::default(),
            stream_type: None,
            trace: None,
        }
    }

    #[test]
    fn what_follows_keeps_correlation_and_user_and_names_its_cause() {
        let first = changeset(r#"{"user":"ada","ip":"::1"}"#);
        let second = Metadata::caused_by(&first).unwrap();
        assert_eq!(second, Metadata::new().correlation_id("a/1@3").causation_id("a/1@3").user("ada"));
        let later = changeset(r#"{"correlation_id":"r-1","causation_id":"x@1"}"#);
        let third = Metadata::caused_by(&later).unwrap();
        assert_eq!(third, Metadata::new().correlation_id("r-1").causation_id("a/1@3"));
    }

    #[test]
    fn metadata_reads_back_whole() {
        let metadata = Metadata::new().user("ada").with("n", 1).with("list", vec![1, 2]);
        let text = Json::of(&metadata).unwrap();
        assert_eq!(Metadata::of(&changeset(text.as_str())).unwrap(), metadata);
    }
}
