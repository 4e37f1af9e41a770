//! Checks a projection or a reactor before it runs.

use std::sync::{Arc, Once};

use serde::Deserialize;

use crate::composite::{InvalidComposite, InvalidStage};
use crate::event_enum::Objection;
use crate::partition::BUCKETS;
use crate::policy::OnFailure;
use crate::projection::{Order, is_projection_name};
use crate::read_model::InvalidTable;
use crate::settings::Settings;
use crate::worker::processor::Processor;

/// A projection, a reactor or its settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name breaks a rule.
    #[error(
        "\"{0}\" is not a valid name: use lower-case letters, digits and _, at most 48, starting with a \
         letter; not one that begins with ees_, sqlite_ or pg_, ends in __standby, __scratch, __preview or __swap, or is the \
         name of a schema that every PostgreSQL database has (public, information_schema, ees)"
    )]
    InvalidName(String),
    /// The name is taken.
    #[error("there are two projections named \"{0}\"")]
    NameTaken(String),
    /// Only a projection with [`Order::Stream`] can park streams.
    #[error(
        "\"{0}\" can't park streams: it needs the global order. Declare Order::Stream, or choose \
         OnFailure::Pause"
    )]
    NeedsLogOrder(String),
    /// A fold in memory can't park streams.
    #[error(
        "\"{0}\" is kept in memory, where what is parked would be lost with the process: choose OnFailure::Pause"
    )]
    ParkedInMemory(String),
    /// The number of partitions is not 1 to 256, or more than 1 without [`Order::Stream`].
    #[error(
        "\"{0}\" can't have this number of partitions: use 1 to 256, and more than 1 only with Order::Stream"
    )]
    Partitions(String),
    /// Only a fold or a composite can keep a fingerprint of its rows.
    #[error(
        "\"{0}\" can't keep a fingerprint of its rows: it is no fold, so only the database knows which rows it changes. \
         Leave out `Settings::fingerprint`"
    )]
    NoFingerprint(String),
    /// The event type does not tell events apart by their `type`, so no event can be recognized.
    #[error("the events of \"{projection}\" can't be told apart: {reason}")]
    Untagged {
        /// The name of the projection or the reactor.
        projection: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A stage of a composite does not fit the others.
    #[error(transparent)]
    InvalidStage(InvalidStage),
    /// The table of a fold is invalid.
    #[error(transparent)]
    InvalidTable(#[from] InvalidTable),
}

impl From<InvalidComposite> for RegisterError {
    fn from(invalid: InvalidComposite) -> Self {
        match invalid {
            InvalidComposite::Table(table) => Self::InvalidTable(table),
            InvalidComposite::Stage(stage) => Self::InvalidStage(stage),
        }
    }
}

/// Refuses a fingerprint of what is not a fold.
pub(super) fn without_fingerprint(name: &str, settings: &Settings) -> Result<(), RegisterError> {
    if settings.fingerprint { Err(RegisterError::NoFingerprint(name.to_owned())) } else { Ok(()) }
}

/// Checks a processor and its settings.
pub(super) fn checked<Tx: Send, P: Processor<Tx>>(
    processor: P,
    settings: &Settings,
) -> Result<Arc<P>, RegisterError> {
    let (name, order) = (processor.name().to_owned(), processor.order());
    if !is_projection_name(&name) {
        return Err(RegisterError::InvalidName(name));
    }
    if matches!(settings.on_failure, OnFailure::Park(_)) && order != Order::Stream {
        return Err(RegisterError::NeedsLogOrder(name));
    }
    let partitions = settings.partitions;
    if !(1..=BUCKETS).contains(&partitions) || (partitions > 1 && order != Order::Stream) {
        return Err(RegisterError::Partitions(name));
    }
    warn_of_odd_numbers();
    match processor.objection() {
        Some(Objection::Certain(reason)) => {
            return Err(RegisterError::Untagged { projection: name, reason });
        }
        Some(Objection::Likely(reason)) => {
            tracing::warn!(projection = name, "the events may not be told apart: {reason}");
        }
        None => {}
    }
    Ok(Arc::new(processor))
}

/// Warns once if a crate of this program turns on `arbitrary_precision` of serde_json.
fn warn_of_odd_numbers() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        if !reads_floats_of_events() {
            tracing::warn!(
                "a crate of this program turns on the feature `arbitrary_precision` of serde_json: events with \
                 numbers that are not whole can't be read as a tagged enum"
            );
        }
    });
}

fn reads_floats_of_events() -> bool {
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Probe {
        Measured { value: f64 },
    }
    let read = serde_json::from_str(r#"{"type":"Measured","value":0.5}"#);
    read.is_ok_and(|Probe::Measured { value }| value == 0.5)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_build_reads_floats_of_events() {
        assert!(super::reads_floats_of_events());
    }
}
