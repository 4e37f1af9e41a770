//! The ledger of effects of a reactor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::{ChangesetId, EventId, StreamId, Timestamp};

use super::Tx;
use super::content::Part;
use crate::database::{Fenced, LedgerRows};
use crate::error::BoxError;
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use crate::read_model_id::ReadModelId;

/// The ledger of a reactor, by the parts that identify an effect.
pub(super) type Effects = BTreeMap<(StreamId, ChangesetId, EventId, String), Known>;

#[derive(Clone)]
pub(super) struct Known {
    effect: Effect,
    /// The worker of the last attempt, and until when it may be in progress.
    worker: Arc<str>,
    busy_until: Instant,
}

fn key(id: &EffectId) -> (StreamId, ChangesetId, EventId, String) {
    (id.stream_id.clone(), id.changeset_id, id.event_id, id.effect.clone())
}

impl LedgerRows for Tx {
    async fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        within: Duration,
    ) -> Result<Effect, BoxError> {
        let (me, now) = (self.database.worker.clone(), Instant::now());
        let unstarted = || Known { effect: id.unstarted(at), worker: me.clone(), busy_until: now };
        let known = self.lock_model(model).await?.effects.entry(key(id)).or_insert_with(unstarted);
        if known.effect.state == EffectState::Done {
            return Ok(known.effect.clone());
        }
        if known.effect.ended_at.is_none() && known.worker != me && now < known.busy_until {
            return Err(Fenced.into());
        }
        known.effect.record_begin(at);
        (known.worker, known.busy_until) = (me, now + within);
        Ok(known.effect.clone())
    }

    async fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> Result<(), BoxError> {
        if let Some(known) = self.lock_model(model).await?.effects.get_mut(&key(id)) {
            known.effect.record_end(ended.clone());
        }
        Ok(())
    }

    async fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> Result<(), BoxError> {
        for ((stream, changeset, ..), known) in &mut self.lock_model(model).await?.effects {
            let is_meant = (stream, *changeset) == (stream_id, changeset_id);
            if is_meant && known.effect.state != EffectState::Done {
                known.effect.state = state;
            }
        }
        Ok(())
    }

    async fn effects(&mut self, model: &ReadModelId, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let part = self.look(model).await?;
        let effects = part.effects.values().map(|known| &known.effect);
        let mut effects: Vec<_> = effects.filter(|effect| wanted.wants(effect)).cloned().collect();
        effects.sort_by_key(|effect| std::cmp::Reverse(effect.began_at));
        effects.truncate(wanted.limit);
        Ok(effects)
    }

    async fn sweep_effects(
        &mut self,
        model: &ReadModelId,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let Part { effects, parked, .. } = self.lock_model(model).await?;
        let waits = |effect: &Effect| {
            let waiting = parked.get(&effect.stream_id);
            waiting.is_some_and(|it| {
                it.checkpoints.values().any(|checkpoint| checkpoint.changeset_id == effect.changeset_id)
            })
        };
        let count = effects.len();
        let mut left = limit;
        effects.retain(|_, Known { effect, .. }| {
            let is_old = effect.is_over() && effect.began_at < before;
            let goes = is_old && left > 0 && !waits(effect);
            left -= usize::from(goes);
            !goes
        });
        Ok(count - effects.len())
    }
}
