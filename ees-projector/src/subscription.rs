//! Which part of the log a projection or a reactor sees, and how it reads events.

use ees_store::Filter;
use ees_store::event::Reading;

/// Which changesets a projection or a reactor wants, and how it reads their events. By default all changesets, with
/// events of unknown types skipped.
///
/// ```
/// use ees_projector::Subscription;
/// use ees_store::Filter;
///
/// let of_orders = Subscription::to(Filter::stream_type("order".parse()?));
/// # let _ = of_orders;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// Which changesets it wants. The filter names event types as they are called today.
    pub filter: Filter,
    /// How it reads events: upcasters bring old ones up to date; unknown types are skipped by default, or refused.
    pub reading: Reading,
}

impl Subscription {
    /// To the changesets that pass a filter.
    pub fn to(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Reads events this way.
    #[must_use]
    pub fn with_reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// What the log is asked for: the filter, by all names that the events have had.
    pub(crate) fn log_filter(&self) -> Filter {
        self.reading.upcasters().widened(self.filter.clone())
    }
}
