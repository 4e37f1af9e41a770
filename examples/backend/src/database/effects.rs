//! The ledgers of reactors.

use std::cmp::Reverse;
use std::time::Duration;

use ees_projector::database::LedgerRows;
use ees_projector::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use ees_projector::{BoxError, ReadModelId};
use ees_store::{ChangesetId, Json, StreamId, Timestamp};

use super::{Key, Tx, key, padded};

fn of(name: &str, id: &EffectId) -> Key {
    let (changeset, event) = (padded(id.changeset_id.get()), padded(id.event_id.get()));
    key(["effect", name, id.stream_id.as_str(), &changeset, &event, &id.effect])
}

impl Tx {
    /// The result is kept as text: the JSON `null` is one, and not the lack of one.
    fn put_effect(&mut self, key: Key, mut effect: Effect) -> Result<(), BoxError> {
        let result = effect.result.take().map(|json| json.to_string());
        self.put(key, &(effect, result))
    }

    fn effect(&self, key: &Key) -> Result<Option<Effect>, BoxError> {
        self.get(key)?.map(with_result).transpose()
    }

    /// Effects of a reactor, or of one stream, or of one changeset.
    fn effects_under(&self, begin: &[&str]) -> Result<Vec<(Key, Effect)>, BoxError> {
        let found = self.list(begin)?;
        found.into_iter().map(|(key, kept)| Ok((key, with_result(kept)?))).collect()
    }
}

fn with_result((mut effect, result): (Effect, Option<String>)) -> Result<Effect, BoxError> {
    effect.result = result.map(|text| Json::parse(&text)).transpose()?;
    Ok(effect)
}

impl LedgerRows for Tx {
    async fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        _: Duration,
    ) -> Result<Effect, BoxError> {
        let known = self.effect(&of(model.name(), id))?;
        let mut effect = known.unwrap_or_else(|| id.unstarted(at));
        if effect.state != EffectState::Done {
            effect.record_begin(at);
            self.put_effect(of(model.name(), id), effect.clone())?;
        }
        Ok(effect)
    }

    async fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> Result<(), BoxError> {
        let Some(mut effect) = self.effect(&of(model.name(), id))? else { return Ok(()) };
        effect.record_end(ended.clone());
        self.put_effect(of(model.name(), id), effect)
    }

    async fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> Result<(), BoxError> {
        let of_changeset = ["effect", model.name(), stream_id.as_str(), &padded(changeset_id.get())];
        for (key, effect) in self.effects_under(&of_changeset)? {
            if effect.state != EffectState::Done {
                self.put_effect(key, Effect { state, ..effect })?;
            }
        }
        Ok(())
    }

    async fn effects(&mut self, model: &ReadModelId, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let effects = self.effects_under(&["effect", model.name()])?.into_iter().map(|(_, effect)| effect);
        let mut effects: Vec<Effect> = effects.filter(|effect| wanted.wants(effect)).collect();
        effects.sort_by_key(|effect| Reverse(effect.began_at));
        effects.truncate(wanted.limit);
        Ok(effects)
    }

    async fn sweep_effects(
        &mut self,
        model: &ReadModelId,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let mut gone = 0;
        for (key, effect) in self.effects_under(&["effect", model.name()])? {
            if gone == limit || !effect.is_over() || effect.began_at >= before {
                continue;
            }
            // Of a changeset that waits, what is done must be known when it comes again.
            let waiting = self.waiting(model.name(), &effect.stream_id)?;
            if !waiting.iter().any(|(_, changeset_id)| *changeset_id == effect.changeset_id) {
                self.remove(key);
                gone += 1;
            }
        }
        Ok(gone)
    }
}
