//! A changeset as sub-commands print and export it: a line of JSON, or coloured text.

use std::borrow::Cow;
use std::fmt;

use anstyle::{AnsiColor, Style};
use ees_store::{
    Changeset, ChangesetId, Checkpoint, EventId, Events, Json, LogEntry, Quarantined, StreamId, StreamType,
    Timestamp, TraceContext, json,
};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::exit::Outcome;

use crate::printable::Printable;
use crate::trace::trace_of;

/// A changeset as a line of JSON. Has a checkpoint if it was read from the log, not from its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<Checkpoint>,
    #[serde(deserialize_with = "adopted_id")]
    pub(crate) stream_id: StreamId,
    pub(crate) changeset_id: ChangesetId,
    pub(crate) first_event_id: EventId,
    pub(crate) timestamp: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stream_type: Option<StreamType>,
    pub(crate) events: Json,
    pub(crate) metadata: Json,
    /// The number of events, where `events` does not show it: another system has stored them, or they can't be
    /// read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event_count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quarantined: Option<Held>,
    /// The trace that its commit belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

/// What a store holds of a changeset that can't be read. Two of them are the same whatever the reason: it
/// depends on who looks.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Held {
    reason: String,
    events: String,
    metadata: String,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        (&self.events, &self.metadata) == (&other.events, &other.metadata)
    }
}

/// What an export has is imported, also an id that another system gave.
fn adopted_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StreamId, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    StreamId::adopted(&text).map_err(D::Error::custom)
}

impl Record {
    /// The changeset's events, as its store has them.
    pub(crate) fn events(&self) -> Outcome<Events> {
        match (&self.quarantined, self.event_count) {
            (Some(Held { reason, events, metadata }), count) => {
                let quarantined = Quarantined::new(reason, events, metadata);
                Ok(Events::quarantine(quarantined, count.unwrap_or_default()))
            }
            (None, Some(count)) => Ok(Events::adopted(self.events.clone(), count)),
            (None, None) if self.events.as_str() == "[]" => Ok(Events::adopted(self.events.clone(), 0)),
            (None, None) => Ok(Events::parse(self.events.as_str())?),
        }
    }

    /// The trace that the changeset's commit belongs to.
    pub(crate) fn trace(&self) -> Outcome<Option<TraceContext>> {
        trace_of(self.traceparent.as_deref(), self.tracestate.as_deref())
    }

    /// The record without what depends on the store that it was read from.
    pub(crate) fn content(mut self) -> Self {
        self.checkpoint = None;
        if let Some(held) = &mut self.quarantined {
            held.reason.clear();
        }
        self
    }
}

impl From<Changeset> for Record {
    fn from(changeset: Changeset) -> Self {
        let quarantined = changeset.events.quarantined().map(|quarantined| Held {
            reason: quarantined.reason().to_owned(),
            events: quarantined.events().to_owned(),
            metadata: quarantined.metadata().to_owned(),
        });
        let events = changeset.events.as_json().cloned().unwrap_or_else(|_| Json::empty_array());
        let trace = changeset.trace.as_ref();
        let is_counted = quarantined.is_none() && events.as_str().starts_with('[');
        Self {
            checkpoint: None,
            stream_id: changeset.stream_id,
            changeset_id: changeset.changeset_id,
            first_event_id: changeset.first_event_id,
            timestamp: changeset.timestamp,
            stream_type: changeset.stream_type,
            event_count: (!is_counted).then(|| changeset.events.count()),
            events,
            metadata: changeset.metadata,
            quarantined,
            traceparent: trace.map(|trace| trace.traceparent().to_owned()),
            tracestate: trace.and_then(TraceContext::tracestate).map(str::to_owned),
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
const QUARANTINED: Style = AnsiColor::Red.on_default();

/// A changeset as text: a line with its ids, then a line for each event.
pub(crate) struct Pretty<'a> {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) changeset: &'a Changeset,
}

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changeset { stream_id, changeset_id, timestamp, stream_type, metadata, trace, .. } =
            self.changeset;
        if let Some(checkpoint) = self.checkpoint {
            write!(f, "{DIM}{checkpoint:>6}{DIM:#} ")?;
        }
        write!(f, "{STREAM}{stream_id}{STREAM:#} changeset {changeset_id}")?;
        if let Some(stream_type) = stream_type {
            write!(f, " {DIM}of type{DIM:#} {TYPE}{stream_type}{TYPE:#}")?;
        }
        write!(f, " {DIM}{timestamp}{DIM:#}")?;
        match self.changeset.numbered_events() {
            Ok(mut events) => {
                events.try_for_each(|(id, event)| write!(f, "\n       {}", PrettyEvent { id, event }))?;
            }
            Err(quarantined) => {
                let (reason, events) = (Printable(quarantined.reason()), Printable(quarantined.events()));
                write!(f, "\n       {QUARANTINED}quarantined{QUARANTINED:#}: {reason}: {events}")?;
            }
        }
        if metadata.as_str() != "{}" {
            write!(f, "\n       {DIM}metadata {}{DIM:#}", Printable(metadata.as_str()))?;
        }
        if let Some(trace) = trace {
            write!(f, "\n       {DIM}trace {}{DIM:#}", trace.traceparent())?;
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
