//! The timers of a reactor.

use std::collections::BTreeMap;

use ees_store::StreamId;

use super::Tx;
use crate::database::TimerRows;
use crate::error::BoxError;
use crate::reactor::{Timer, TimerQuery};
use crate::read_model_id::ReadModelId;

/// The timers of a reactor, by the stream and the key.
pub(super) type Timers = BTreeMap<(StreamId, String), Timer>;

impl TimerRows for Tx {
    async fn timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        name: &str,
    ) -> Result<Option<Timer>, BoxError> {
        Ok(self.look(model).await?.timers.get(&(stream_id.clone(), name.to_owned())).cloned())
    }

    async fn timers(&mut self, model: &ReadModelId, wanted: &TimerQuery) -> Result<Vec<Timer>, BoxError> {
        let part = self.look(model).await?;
        let mut timers: Vec<_> = part.timers.values().filter(|timer| wanted.wants(timer)).cloned().collect();
        timers.sort_by_key(Timer::place);
        timers.truncate(wanted.limit);
        Ok(timers)
    }

    async fn put_timer(&mut self, model: &ReadModelId, timer: &Timer) -> Result<(), BoxError> {
        let key = (timer.stream_id.clone(), timer.key.clone());
        self.lock_model(model).await?.timers.insert(key, timer.clone());
        Ok(())
    }

    async fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        name: &str,
    ) -> Result<(), BoxError> {
        self.lock_model(model).await?.timers.remove(&(stream_id.clone(), name.to_owned()));
        Ok(())
    }
}
