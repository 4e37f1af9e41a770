//! The ledger of effects of each reactor.

use std::collections::BTreeMap;
use std::time::Duration;

use ees_store::{ChangesetId, EventId, StreamId, Timestamp};

use super::{State, Tx};
use crate::database::LedgerRows;
use crate::error::BoxError;
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use crate::read_model_id::ReadModelId;

/// The ledgers of all reactors. The key is the reactor's name and the parts that identify the effect.
pub(super) type Effects = BTreeMap<(String, StreamId, ChangesetId, EventId, String), Effect>;

fn key(name: &str, id: &EffectId) -> (String, StreamId, ChangesetId, EventId, String) {
    (name.to_owned(), id.stream_id.clone(), id.changeset_id, id.event_id, id.effect.clone())
}

impl LedgerRows for Tx {
    async fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        _: Duration,
    ) -> Result<Effect, BoxError> {
        let effect = self.state.effects.entry(key(model.name(), id)).or_insert_with(|| id.unstarted(at));
        if effect.state != EffectState::Done {
            effect.record_begin(at);
        }
        Ok(effect.clone())
    }

    async fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> Result<(), BoxError> {
        if let Some(effect) = self.state.effects.get_mut(&key(model.name(), id)) {
            effect.record_end(ended.clone());
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
        for ((reactor, stream, changeset, ..), effect) in &mut self.state.effects {
            let is_meant = (reactor.as_str(), stream, *changeset) == (model.name(), stream_id, changeset_id);
            if is_meant && effect.state != EffectState::Done {
                effect.state = state;
            }
        }
        Ok(())
    }

    async fn effects(&mut self, model: &ReadModelId, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let of_this = self.state.effects.iter().filter(|((reactor, ..), _)| reactor == model.name());
        let mut effects: Vec<_> =
            of_this.map(|(_, effect)| effect).filter(|effect| wanted.wants(effect)).cloned().collect();
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
        let State { effects, parked, .. } = &mut self.state;
        let waits = |effect: &Effect| {
            let waiting = parked.get(&(model.name().to_owned(), effect.stream_id.clone()));
            waiting.is_some_and(|it| {
                it.checkpoints.values().any(|checkpoint| checkpoint.changeset_id == effect.changeset_id)
            })
        };
        let count = effects.len();
        let mut left = limit;
        effects.retain(|(reactor, ..), effect| {
            let is_old = reactor == model.name() && effect.is_over() && effect.began_at < before;
            let goes = is_old && left > 0 && !waits(effect);
            left -= usize::from(goes);
            !goes
        });
        Ok(count - effects.len())
    }
}
