//! The ledger of effects of each reactor.
//!
//! An effect is an item in the partition `!NAME/effects`. Its key has the hash of its stream, its changeset,
//! its event and its name. A finished effect has a second item in `!NAME/effects-over`, ordered by time, by
//! which the sweep finds it when it is old enough to be deleted.

use std::time::Duration;

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::item::{Item, KEY, WRITING, number, text, to_number, to_number_if, to_text};
use super::tx::{Condition, Tx};
use crate::database::{Fenced, LedgerRows};
use crate::error::BoxError;
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use crate::read_model_id::ReadModelId;

/// The longest that an attempt may take, in microseconds: as the worker says that began it, whose settings may be others.
const WITHIN: &str = "within";
/// The most effects that one transaction deletes. Each has two items.
const SWEPT_MAX: usize = 40;
/// The most effects that a query reads.
const READ_MAX: usize = 10_000;

fn ledger(name: &str) -> String {
    format!("!{name}/effects")
}

fn over(name: &str) -> String {
    format!("!{name}/effects-over")
}

/// The prefix of the keys of a changeset's effects.
fn of_changeset(stream_id: &StreamId, changeset_id: ChangesetId) -> String {
    format!("{}{:020}/", of_stream(stream_id), changeset_id.get())
}

/// Hashed, because a stream id may be as long as a whole key.
pub(super) fn of_stream(stream_id: &StreamId) -> String {
    hex::encode(Sha256::digest(stream_id.as_str())) + "/"
}

fn key(id: &EffectId) -> String {
    format!("{}{:020}/{}", of_changeset(&id.stream_id, id.changeset_id), id.event_id.get(), id.effect)
}

impl LedgerRows for Tx {
    /// DynamoDB has no leases. An effect that another worker began, and that may still run, is left to that
    /// worker.
    async fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        within: Duration,
    ) -> Result<Effect, BoxError> {
        let (ledger, key) = (ledger(model.name()), key(id));
        let me = &*self.database.worker;
        let (mut effect, condition) = match self.get(&ledger, &key).await? {
            None => (id.unstarted(at), Condition::Absent),
            Some(item) => {
                let effect = to_effect(&item)?;
                let elsewhere = to_text(&item, "worker")? != me;
                if effect.state == EffectState::Done {
                    return Ok(effect);
                }
                let its_time = to_number_if(&item, WITHIN)?.map_or(within, Duration::from_micros);
                if elsewhere && effect.may_be_in_progress(its_time, Timestamp::now()) {
                    return Err(Fenced.into());
                }
                (effect, Condition::IsWriting(to_text(&item, WRITING)?.parse()?))
            }
        };
        effect.record_begin(at);
        let item = of_effect(&effect, me, Some(within));
        self.stage_if(&ledger, &key, Some(item), Some(condition))?;
        Ok(effect)
    }

    async fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> Result<(), BoxError> {
        let (ledger, key) = (ledger(model.name()), key(id));
        let Some(before) = self.get(&ledger, &key).await? else { return Ok(()) };
        let mut effect = to_effect(&before)?;
        effect.record_end(ended.clone());
        self.write_effect(model.name(), &key, &before, &effect)
    }

    async fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> Result<(), BoxError> {
        let begin = of_changeset(stream_id, changeset_id);
        for before in self.database.query(&ledger(model.name()), &begin, None, usize::MAX, true).await? {
            let mut effect = to_effect(&before)?;
            if effect.state != EffectState::Done {
                effect.state = state;
                let key = to_text(&before, KEY)?.to_owned();
                self.write_effect(model.name(), &key, &before, &effect)?;
            }
        }
        Ok(())
    }

    async fn effects(&mut self, model: &ReadModelId, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let begin = wanted.stream_id.as_ref().map(of_stream).unwrap_or_default();
        let items = self.database.query(&ledger(model.name()), &begin, None, READ_MAX, true).await?;
        let mut effects = items.iter().map(to_effect).collect::<Result<Vec<_>, _>>()?;
        effects.retain(|effect| wanted.wants(effect));
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
        let until = of_moment(before);
        let old =
            self.database.query(&over(model.name()), "0", Some(&until), limit.min(SWEPT_MAX), true).await?;
        for item in &old {
            self.stage(&over(model.name()), to_text(item, KEY)?, None)?;
            let key = to_text(item, "effect")?;
            // The effect may have been started again since it was discarded.
            let known = self.get(&ledger(model.name()), key).await?;
            let known = known.as_ref().map(to_effect).transpose()?.filter(Effect::is_over);
            let Some(effect) = known else { continue };
            if self.waits(model.name(), &effect).await? {
                // Its changeset is still parked. The sweep looks at the effect again after another full
                // retention time.
                self.mark_over(model.name(), key, Timestamp::now())?;
            } else {
                self.stage(&ledger(model.name()), key, None)?;
            }
        }
        Ok(if old.len() == SWEPT_MAX { limit } else { old.len() })
    }
}

impl Tx {
    /// Whether the effect's changeset is still parked.
    async fn waits(&self, name: &str, effect: &Effect) -> Result<bool, BoxError> {
        let first = self.first_parked(name, &effect.stream_id).await?;
        Ok(first.is_some_and(|first| first <= effect.changeset_id))
    }

    /// Writes an effect, unless somebody else has written it in the meantime. The worker that began it stays, and the
    /// time that it has.
    fn write_effect(
        &mut self,
        name: &str,
        key: &str,
        before: &Item,
        effect: &Effect,
    ) -> Result<(), BoxError> {
        let within = to_number_if(before, WITHIN)?.map(Duration::from_micros);
        let item = of_effect(effect, to_text(before, "worker")?, within);
        if effect.is_over() {
            self.mark_over(name, key, effect.began_at)?;
        }
        let unchanged = Condition::IsWriting(to_text(before, WRITING)?.parse()?);
        self.stage_if(&ledger(name), key, Some(item), Some(unchanged))
    }

    /// Adds an effect to the finished ones, with this time.
    fn mark_over(&mut self, name: &str, key: &str, since: Timestamp) -> Result<(), BoxError> {
        let marker = Item::from([("effect".to_owned(), text(key))]);
        let moment = format!("{}/{}", of_moment(since), Uuid::new_v4().simple());
        self.stage(&over(name), &moment, Some(marker))
    }
}

pub(super) fn of_moment(moment: Timestamp) -> String {
    format!("{:020}", moment.as_micros().max(0))
}

/// The item of an effect, as begun by this worker for at most this time, with a new write id.
fn of_effect(effect: &Effect, worker: &str, within: Option<Duration>) -> Item {
    let mut item = Item::from(
        [
            ("stream_id", text(effect.stream_id.as_str())),
            ("changeset_id", number(effect.changeset_id.get())),
            ("event_id", number(effect.event_id.get())),
            ("effect", text(&effect.effect)),
            ("state", text(effect.state.as_str())),
            ("attempts", number(effect.attempts)),
            ("since", number(effect.since.as_micros())),
            ("began_at", number(effect.began_at.as_micros())),
            ("worker", text(worker)),
            (WRITING, text(Uuid::new_v4().to_string())),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(within) = within {
        item.insert(WITHIN.to_owned(), number(u64::try_from(within.as_micros()).unwrap_or(u64::MAX)));
    }
    if let Some(at) = effect.ended_at {
        item.insert("ended_at".to_owned(), number(at.as_micros()));
    }
    if let Some(error) = &effect.error {
        item.insert("error".to_owned(), text(error));
    }
    if let Some(result) = &effect.result {
        item.insert("result".to_owned(), text(result.as_str()));
    }
    item
}

fn to_effect(item: &Item) -> Result<Effect, BoxError> {
    let text_if = |name: &str| item.contains_key(name).then(|| to_text(item, name)).transpose();
    Ok(Effect {
        stream_id: StreamId::new(to_text(item, "stream_id")?)?,
        changeset_id: ChangesetId::new(to_number(item, "changeset_id")?),
        event_id: EventId::new(to_number(item, "event_id")?),
        effect: to_text(item, "effect")?.to_owned(),
        state: to_text(item, "state")?.parse()?,
        attempts: to_number(item, "attempts")?,
        since: Timestamp::from_micros(to_number(item, "since")?),
        began_at: Timestamp::from_micros(to_number(item, "began_at")?),
        ended_at: to_number_if(item, "ended_at")?.map(Timestamp::from_micros),
        error: text_if("error")?.map(ToOwned::to_owned),
        result: text_if("result")?.map(Json::parse).transpose()?,
    })
}
