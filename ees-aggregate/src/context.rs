//! What a command comes with besides itself: who asked, because of what, and under which key.

use ees_store::{Changeset, IdempotencyKey, InvalidJson, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What is kept with a changeset about why it was committed. Empty unless set.
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
    /// What all changesets that follow from one cause have in common: the id of the first request, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What called for it directly: a changeset, as [`caused_by`](Metadata::caused_by) names it, or a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Metadata {
    /// Empty metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metadata of a changeset.
    ///
    /// # Errors
    /// [`InvalidJson`] when one of the three is something else than a text.
    pub fn of(changeset: &Changeset) -> Result<Self, InvalidJson> {
        changeset.metadata.read()
    }

    /// The metadata of what follows from a changeset: the same correlation and user, and the changeset as its cause,
    /// named `stream@number`. A changeset without a correlation begins one.
    ///
    /// # Errors
    /// As [`of`](Metadata::of).
    pub fn caused_by(changeset: &Changeset) -> Result<Self, InvalidJson> {
        let name = format!("{}@{}", changeset.stream_id, changeset.changeset_id);
        let Self { correlation_id, user, .. } = Self::of(changeset)?;
        let correlation_id = correlation_id.or_else(|| Some(name.clone()));
        Ok(Self { correlation_id, causation_id: Some(name), user, others: Map::new() })
    }

    /// With this correlation.
    #[must_use]
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        Self { correlation_id: Some(id.into()), ..self }
    }

    /// With this cause.
    #[must_use]
    pub fn causation_id(self, id: impl Into<String>) -> Self {
        Self { causation_id: Some(id.into()), ..self }
    }

    /// Asked for by this user.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.others.insert(name.into(), value.into());
        self
    }
}

/// What a command comes with: metadata, and an idempotency key. The default has none, and gets a key of its own.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub(crate) metadata: Metadata,
    pub(crate) key: Option<IdempotencyKey>,
}

impl Context {
    /// No metadata, and a key of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// With metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }

    /// Under a key of the caller's, so that the whole command may be repeated: after a crash, or when the answer to *its*
    /// caller was lost.
    ///
    /// A repeat is never carried out twice, as long as the store keeps the key. It is answered like the first time if
    /// it decides the same events and comes with the same metadata, and with
    /// [`AlreadyExecuted`](crate::ExecuteError::AlreadyExecuted) otherwise, because the state it meets is that
    /// *after* the command.
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
