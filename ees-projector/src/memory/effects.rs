//! A reactor's ledger of effects.

use std::collections::BTreeMap;

use ees_store::{ChangesetId, EventId, StreamId, Timestamp};

use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};

/// Reactor, and what names an effect of it.
type Key = (String, StreamId, ChangesetId, EventId, String);

/// The ledgers of all reactors.
#[derive(Clone, Default)]
pub(super) struct Effects(BTreeMap<Key, Effect>);

fn key(name: &str, id: &EffectId) -> Key {
    (name.to_owned(), id.stream_id.clone(), id.changeset_id, id.event_id, id.effect.clone())
}

impl Effects {
    pub(super) fn begin(&mut self, name: &str, id: &EffectId, at: Timestamp) -> Effect {
        let effect = self.0.entry(key(name, id)).or_insert_with(|| id.first(at));
        if effect.state != EffectState::Done {
            effect.begin(at);
        }
        effect.clone()
    }

    pub(super) fn end(&mut self, name: &str, id: &EffectId, ended: &Ended) {
        if let Some(effect) = self.0.get_mut(&key(name, id)) {
            effect.end(ended.clone());
        }
    }

    pub(super) fn settle(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) {
        for effect in self.of(name).filter(|effect| effect.state != EffectState::Done) {
            if (&effect.stream_id, effect.changeset_id) == (stream_id, changeset_id) {
                effect.state = state;
            }
        }
    }

    pub(super) fn list(&self, name: &str, wanted: &EffectQuery) -> Vec<Effect> {
        let of_this = self.0.iter().filter(|((reactor, ..), _)| reactor == name).map(|(_, effect)| effect);
        let mut effects: Vec<_> = of_this.filter(|effect| wanted.wants(effect)).cloned().collect();
        effects.sort_by_key(|effect| std::cmp::Reverse(effect.began_at));
        effects.truncate(wanted.limit);
        effects
    }

    /// Forgets what is over and long ago, unless its changeset still waits.
    pub(super) fn sweep(
        &mut self,
        name: &str,
        before: Timestamp,
        limit: usize,
        waits: impl Fn(&Effect) -> bool,
    ) -> usize {
        let count = self.0.len();
        let mut left = limit;
        self.0.retain(|(reactor, ..), effect| {
            let is_old = reactor == name && effect.is_over() && effect.began_at < before;
            let goes = is_old && left > 0 && !waits(effect);
            left -= usize::from(goes);
            !goes
        });
        count - self.0.len()
    }

    fn of<'a>(&'a mut self, name: &'a str) -> impl Iterator<Item = &'a mut Effect> {
        self.0.iter_mut().filter(move |((reactor, ..), _)| reactor == name).map(|(_, effect)| effect)
    }
}
