//! Whether a projection or a reactor can be run as it was given.

use std::sync::Arc;

use crate::partition::SLOTS;
use crate::policy::OnFailure;
use crate::projection::{Order, is_name};
use crate::read_model::InvalidTable;
use crate::settings::Settings;
use crate::worker::processor::Processor;

/// A projection that can't be run as it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name breaks a rule.
    #[error(
        "\"{0}\" can't name a projection: lower-case letters, digits and _, at most 48, beginning with a letter, and \
         not with ees_ or sqlite_"
    )]
    InvalidName(String),
    /// There is one of this name already.
    #[error("there are two projections named \"{0}\"")]
    Twice(String),
    /// Only a projection that keeps to the order within streams can go on without one of them.
    #[error("\"{0}\" can't park streams: it needs the global order. Declare Order::Stream, or let it pause")]
    NeedsLogOrder(String),
    /// The streams of a projection that needs the global order can't be dealt out; and there are 256 slots at most.
    #[error("\"{0}\" can't have that many partitions: 1 to 256, and more than 1 only with Order::Stream")]
    Partitions(String),
    /// A fold's table can't be one.
    #[error(transparent)]
    InvalidTable(#[from] InvalidTable),
}

/// What is to be run, if it can be run like that.
pub(super) fn checked<Tx: Send>(
    processor: impl Processor<Tx>,
    settings: &Settings,
) -> Result<Arc<dyn Processor<Tx>>, RegisterError> {
    let (name, order) = (processor.name().to_owned(), processor.order());
    if !is_name(&name) {
        return Err(RegisterError::InvalidName(name));
    }
    if matches!(settings.on_failure, OnFailure::Park(_)) && order != Order::Stream {
        return Err(RegisterError::NeedsLogOrder(name));
    }
    let partitions = settings.partitions;
    if !(1..=SLOTS).contains(&partitions) || (partitions > 1 && order != Order::Stream) {
        return Err(RegisterError::Partitions(name));
    }
    Ok(Arc::new(processor))
}
