//! Which changesets a projection or a reactor wants, and how it reads their events.

use ees_store::event::Reading;
use ees_store::{Filter, Timestamp};

/// Which changesets a projection or a reactor wants, and how it reads their events. Default: all changesets;
/// events of unknown types are skipped.
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
    /// Which changesets to read. The filter uses the current names of event types.
    pub filter: Filter,
    /// How to read events: the upcasters for old events, and whether unknown types are skipped (the default)
    /// or refused.
    pub reading: Reading,
    /// Whether each changeset is given once, instead of its events: see
    /// [`to_whole_changesets`](Self::to_whole_changesets).
    pub whole_changesets: bool,
    /// The time from which on changesets are given: see [`since`](Self::since). Default: all are.
    pub since: Option<Timestamp>,
}

impl Subscription {
    /// Subscribes to the changesets that pass the filter.
    pub fn to(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Subscribes to whole changesets: each is given once, whatever it holds. The event is read from `null`
    /// (`IgnoredAny` or `()` can be), and [`Recorded::changeset`](crate::Recorded::changeset) is the changeset.
    ///
    /// So changesets are given that hold no event, because another system has stored them, and quarantined
    /// ones.
    #[must_use]
    pub fn to_whole_changesets(self) -> Self {
        Self { whole_changesets: true, ..self }
    }

    /// Sets how events are read.
    #[must_use]
    pub fn with_reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// Leaves out the changesets that were committed before a time, in a rebuild too. One without a time (a
    /// quarantined changeset may have none) is given.
    ///
    /// The earlier part of the log is not read: its end is found by search, an hour before the time. So the result
    /// is exact where no changeset stands in the log more than an hour before one with an earlier time. (Times
    /// ascend within each stream only: clocks differ, and an import may bring old times.)
    #[must_use]
    pub fn since(self, time: Timestamp) -> Self {
        Self { since: Some(time), ..self }
    }

    /// Returns `true` if it is to all changesets, and events are read as they are.
    pub(crate) fn is_default(&self) -> bool {
        let Self { filter, reading, whole_changesets, since } = self;
        filter.is_all() && reading.is_default() && !whole_changesets && since.is_none()
    }

    /// Returns the filter for the log: it includes all earlier names of the event types.
    pub(crate) fn log_filter(&self) -> Filter {
        self.reading.upcasters().widened(self.filter.clone())
    }
}
