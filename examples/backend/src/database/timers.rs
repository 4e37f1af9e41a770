//! The timers of reactors.

use ees_projector::database::TimerRows;
use ees_projector::reactor::{Timer, TimerQuery};
use ees_projector::{BoxError, ReadModelId};
use ees_store::StreamId;

use super::{Key, Tx, key};

fn of(name: &str, stream_id: &StreamId, timer: &str) -> Key {
    key(["timer", name, stream_id.as_str(), timer])
}

impl TimerRows for Tx {
    async fn timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        timer: &str,
    ) -> Result<Option<Timer>, BoxError> {
        self.get(&of(model.name(), stream_id, timer))
    }

    /// One after the other: a database for many timers has an index by their places.
    async fn timers(&mut self, model: &ReadModelId, wanted: &TimerQuery) -> Result<Vec<Timer>, BoxError> {
        let found: Vec<(Key, Timer)> = self.list(&["timer", model.name()])?;
        let mut timers: Vec<_> = found.into_iter().map(|(_, timer)| timer).collect();
        timers.retain(|timer| wanted.wants(timer));
        timers.sort_by_key(Timer::place);
        timers.truncate(wanted.limit);
        Ok(timers)
    }

    async fn put_timer(&mut self, model: &ReadModelId, timer: &Timer) -> Result<(), BoxError> {
        self.put(of(model.name(), &timer.stream_id, &timer.key), timer)
    }

    async fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        timer: &str,
    ) -> Result<(), BoxError> {
        self.remove(of(model.name(), stream_id, timer));
        Ok(())
    }
}
