//! A reactor's ledger of effects.
//!
//! An effect is an item of the partition `!NAME/effects`, by the hash of its stream, changeset, event and name. One that is over has another
//! in `!NAME/effects-over`, by time, so that it is found when it is old enough to be forgotten.

use std::time::Duration;

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::item::{Item, KEY, number, text, to_number, to_number_if, to_text};
use super::tx::{Condition, Tx};
use crate::database::Fenced;
use crate::projection::BoxError;
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};

/// Effects that one transaction forgets: two items each.
const SWEPT_MAX: usize = 40;
/// Effects that are read to find those that are asked for.
const READ_MAX: usize = 10_000;
/// Which writing of it this is: whoever writes the next one has seen it.
pub(super) const ATTEMPT: &str = "attempt";

fn ledger(name: &str) -> String {
    format!("!{name}/effects")
}

fn over(name: &str) -> String {
    format!("!{name}/effects-over")
}

/// What the keys of a changeset's effects begin with.
fn of_changeset(stream_id: &StreamId, changeset_id: ChangesetId) -> String {
    format!("{}{:020}/", of_stream(stream_id), changeset_id.get())
}

/// A stream's id may be as long as a whole key.
fn of_stream(stream_id: &StreamId) -> String {
    let hash = Sha256::digest(stream_id.as_str());
    hash.iter().fold(String::with_capacity(66), |text, byte| text + &format!("{byte:02x}")) + "/"
}

fn key(id: &EffectId) -> String {
    format!("{}{:020}/{}", of_changeset(&id.stream_id, id.changeset_id), id.event_id.get(), id.effect)
}

impl Tx {
    /// There is no lease: one that another worker has begun, and that may still be under way, is left to it.
    pub(super) async fn begin_one(
        &mut self,
        name: &str,
        id: &EffectId,
        at: Timestamp,
        within: Duration,
    ) -> Result<Effect, BoxError> {
        let (ledger, key) = (ledger(name), key(id));
        let me = &*self.database.worker;
        let (mut effect, condition) = match self.get(&ledger, &key).await? {
            None => (id.first(at), Condition::Absent),
            Some(item) => {
                let effect = to_effect(&item)?;
                let elsewhere = to_text(&item, "worker")? != me;
                if effect.state == EffectState::Done {
                    return Ok(effect);
                }
                if effect.state == EffectState::Started && elsewhere && effect.began_at.elapsed() < within {
                    return Err(Fenced.into());
                }
                (effect, Condition::IsAttempt(to_text(&item, ATTEMPT)?.parse()?))
            }
        };
        effect.begin(at);
        let mut item = of_effect(&effect);
        item.insert("worker".to_owned(), text(me));
        item.insert(ATTEMPT.to_owned(), text(Uuid::new_v4().to_string()));
        self.stage_if(&ledger, &key, Some(item), Some(condition))?;
        Ok(effect)
    }

    pub(super) async fn end_one(&mut self, name: &str, id: &EffectId, ended: &Ended) -> Result<(), BoxError> {
        let (ledger, key) = (ledger(name), key(id));
        let Some(before) = self.get(&ledger, &key).await? else { return Ok(()) };
        let mut effect = to_effect(&before)?;
        effect.end(ended.clone());
        self.write_effect(name, &key, &before, &effect)
    }

    pub(super) async fn settle_all(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> Result<(), BoxError> {
        let begin = of_changeset(stream_id, changeset_id);
        for before in self.database.query(&ledger(name), &begin, None, SWEPT_MAX, true).await? {
            let mut effect = to_effect(&before)?;
            if effect.state != EffectState::Done {
                effect.state = state;
                let key = to_text(&before, KEY)?.to_owned();
                self.write_effect(name, &key, &before, &effect)?;
            }
        }
        Ok(())
    }

    pub(super) async fn list(&self, name: &str, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let begin = wanted.stream_id.as_ref().map(of_stream).unwrap_or_default();
        let items = self.database.query(&ledger(name), &begin, None, READ_MAX, true).await?;
        let mut effects = items.iter().map(to_effect).collect::<Result<Vec<_>, _>>()?;
        effects.retain(|effect| wanted.wants(effect));
        effects.sort_by_key(|effect| std::cmp::Reverse(effect.began_at));
        effects.truncate(wanted.limit);
        Ok(effects)
    }

    pub(super) async fn sweep_old(
        &mut self,
        name: &str,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let until = of_moment(before);
        let old = self.database.query(&over(name), "0", Some(&until), limit.min(SWEPT_MAX), true).await?;
        for item in &old {
            self.stage(&over(name), to_text(item, KEY)?, None)?;
            let key = to_text(item, "effect")?;
            // It may have been begun again since it was discarded.
            let known = self.get(&ledger(name), key).await?;
            let known = known.as_ref().map(to_effect).transpose()?.filter(Effect::is_over);
            let Some(effect) = known else { continue };
            if self.waits(name, &effect).await? {
                // Its changeset comes again: looked at again when it is as old once more.
                let again = Item::from([("effect".to_owned(), text(key))]);
                let moment = format!("{}/{}", of_moment(Timestamp::now()), Uuid::new_v4().simple());
                self.stage(&over(name), &moment, Some(again))?;
            } else {
                self.stage(&ledger(name), key, None)?;
            }
        }
        Ok(if old.len() == SWEPT_MAX { limit } else { old.len() })
    }

    /// Whether the effect's changeset is among those that wait.
    async fn waits(&self, name: &str, effect: &Effect) -> Result<bool, BoxError> {
        let first = self.first_parked(name, &effect.stream_id).await?;
        Ok(first.is_some_and(|first| first <= effect.changeset_id))
    }

    /// An effect as it is by now, unless somebody else has written it meanwhile; who began it stays.
    fn write_effect(
        &mut self,
        name: &str,
        key: &str,
        before: &Item,
        effect: &Effect,
    ) -> Result<(), BoxError> {
        let mut item = of_effect(effect);
        item.insert("worker".to_owned(), text(to_text(before, "worker")?));
        item.insert(ATTEMPT.to_owned(), text(Uuid::new_v4().to_string()));
        if effect.is_over() {
            let marker = Item::from([("effect".to_owned(), text(key))]);
            let moment = format!("{}/{}", of_moment(effect.began_at), Uuid::new_v4().simple());
            self.stage(&over(name), &moment, Some(marker))?;
        }
        let unchanged = Condition::IsAttempt(to_text(before, ATTEMPT)?.parse()?);
        self.stage_if(&ledger(name), key, Some(item), Some(unchanged))
    }
}

fn of_moment(moment: Timestamp) -> String {
    format!("{:020}", moment.as_micros().max(0))
}

fn of_effect(effect: &Effect) -> Item {
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
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
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
