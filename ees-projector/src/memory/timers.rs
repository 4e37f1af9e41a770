//! The timers of each reactor.

use std::collections::BTreeMap;

use ees_store::StreamId;

use super::Tx;
use crate::database::TimerRows;
use crate::error::BoxError;
use crate::reactor::{Timer, TimerQuery};
use crate::read_model_id::ReadModelId;

/// The timers of all reactors, by the reactor's name, the stream and the key.
pub(super) type Timers = BTreeMap<(String, StreamId, String), Timer>;

fn key(name: &str, stream_id: &StreamId, key: &str) -> (String, StreamId, String) {
    (name.to_owned(), stream_id.clone(), key.to_owned())
}

impl TimerRows for Tx {
    async fn timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        name: &str,
    ) -> Result<Option<Timer>, BoxError> {
        Ok(self.state.timers.get(&key(model.name(), stream_id, name)).cloned())
    }

    async fn timers(&mut self, model: &ReadModelId, wanted: &TimerQuery) -> Result<Vec<Timer>, BoxError> {
        let of_this = self.state.timers.iter().filter(|((reactor, ..), _)| reactor == model.name());
        let mut timers: Vec<_> =
            of_this.map(|(_, timer)| timer).filter(|it| wanted.wants(it)).cloned().collect();
        timers.sort_by_key(Timer::place);
        timers.truncate(wanted.limit);
        Ok(timers)
    }

    async fn put_timer(&mut self, model: &ReadModelId, timer: &Timer) -> Result<(), BoxError> {
        self.state.timers.insert(key(model.name(), &timer.stream_id, &timer.key), timer.clone());
        Ok(())
    }

    async fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        name: &str,
    ) -> Result<(), BoxError> {
        self.state.timers.remove(&key(model.name(), stream_id, name));
        Ok(())
    }
}
