//! A changeset as sub-commands print and export it: a line of JSON, or coloured text.

use std::fmt;

use anstyle::{AnsiColor, Style};
use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Json, LogEntry, StreamId, StreamType, Timestamp, json,
};
use serde::{Deserialize, Serialize};

use crate::printable::Printable;

/// A changeset as a line of JSON. Has a checkpoint if it was read from the log, not from its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) stream_id: StreamId,
    pub(crate) changeset_id: ChangesetId,
    pub(crate) first_event_id: EventId,
    pub(crate) timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stream_type: Option<StreamType>,
    pub(crate) events: Json,
    pub(crate) metadata: Json,
}

impl From<Changeset> for Record {
    fn from(changeset: Changeset) -> Self {
        Self {
            checkpoint: None,
            stream_id: changeset.stream_id,
            changeset_id: changeset.changeset_id,
            first_event_id: changeset.first_event_id,
            timestamp: changeset.timestamp,
            stream_type: changeset.stream_type,
            events: changeset.events.as_json().clone(),
            metadata: changeset.metadata,
        }
    }
}

impl From<LogEntry> for Record {
    fn from(LogEntry { checkpoint, changeset }: LogEntry) -> Self {
        Self { checkpoint: Some(checkpoint), ..changeset.into() }
    }
}

const DIM: Style = Style::new().dimmed();
const STREAM: Style = Style::new().bold();
const TYPE: Style = AnsiColor::Cyan.on_default();

/// A changeset as text: a line with its ids, then a line for each event.
pub(crate) struct Pretty<'a> {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) changeset: &'a Changeset,
}

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changeset { stream_id, changeset_id, timestamp, stream_type, metadata, .. } = self.changeset;
        if let Some(checkpoint) = self.checkpoint {
            write!(f, "{DIM}{checkpoint:>6}{DIM:#} ")?;
        }
        write!(f, "{STREAM}{stream_id}{STREAM:#} changeset {changeset_id}")?;
        if let Some(stream_type) = stream_type {
            write!(f, " {DIM}of type{DIM:#} {TYPE}{stream_type}{TYPE:#}")?;
        }
        write!(f, " {DIM}{timestamp}{DIM:#}")?;
        for (id, event) in self.changeset.numbered_events() {
            write!(f, "\n       {}", PrettyEvent { id, event })?;
        }
        if metadata.as_str() != "{}" {
            write!(f, "\n       {DIM}metadata {}{DIM:#}", Printable(metadata.as_str()))?;
        }
        Ok(())
    }
}

/// An event as a line of text.
pub(crate) struct PrettyEvent<'a> {
    pub(crate) id: EventId,
    pub(crate) event: &'a str,
}

impl fmt::Display for PrettyEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIM}{:>4}{DIM:#} ", self.id)?;
        if let Some(event_type) = json::event_type(self.event) {
            write!(f, "{TYPE}{}{TYPE:#} ", Printable(&event_type))?;
        }
        Printable(self.event).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_cannot_control_the_terminal() {
        let event = "{\"type\":\"\\u001b[2J\",\"a\":\"\u{7f}b\u{9b}\"}";
        let shown = PrettyEvent { id: EventId::new(1), event }.to_string();
        assert!(shown.contains("\\u001b[2J") && shown.ends_with("\"a\":\"\\u007fb\\u009b\"}"), "{shown}");
    }
}
