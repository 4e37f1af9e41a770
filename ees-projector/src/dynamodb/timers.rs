//! The timers of each reactor.
//!
//! A timer is an item in the partition `!NAME/timers`, ordered by the time at which it fires. A second item in
//! `!NAME/timer-keys` says where it is: its key has the hash of the stream, and the timer's key. Whoever changes
//! a timer changes both, on the condition that the second one is as it was read.

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use uuid::Uuid;

use super::effects::{of_moment, of_stream};
use super::item::{Item, WRITING, item_of, number, text, to_number, to_text};
use super::tx::{Condition, Tx};
use crate::database::TimerRows;
use crate::error::BoxError;
use crate::reactor::{Timer, TimerPlace, TimerQuery};
use crate::read_model_id::ReadModelId;

fn timers(name: &str) -> String {
    format!("!{name}/timers")
}

fn keys(name: &str) -> String {
    format!("!{name}/timer-keys")
}

fn key_of(stream_id: &StreamId, key: &str) -> String {
    of_stream(stream_id) + key
}

fn place_of(TimerPlace { at, stream_id, key }: &TimerPlace) -> String {
    format!("{}/{}", of_moment(*at), key_of(stream_id, key))
}

impl TimerRows for Tx {
    async fn timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<Option<Timer>, BoxError> {
        let Some(pointer) = self.pointer(model, stream_id, key).await? else { return Ok(None) };
        let found = self.get(&timers(model.name()), to_text(&pointer, "place")?).await?;
        found.as_ref().map(to_timer).transpose()
    }

    async fn timers(&mut self, model: &ReadModelId, wanted: &TimerQuery) -> Result<Vec<Timer>, BoxError> {
        let partition = timers(model.name());
        let items = match &wanted.stream_id {
            None => {
                let after = wanted.after.as_ref().map(place_of);
                self.database.query_after(&partition, "", after.as_deref(), wanted.limit).await?
            }
            Some(stream_id) => {
                let begin = of_stream(stream_id);
                let pointers =
                    self.database.query(&keys(model.name()), &begin, None, usize::MAX, true).await?;
                let places = pointers.iter().map(|item| to_text(item, "place"));
                let places = places.collect::<Result<Vec<_>, _>>()?;
                self.get_all(&partition, &places).await?.into_iter().flatten().collect()
            }
        };
        let mut found = items.iter().map(to_timer).collect::<Result<Vec<_>, _>>()?;
        if wanted.stream_id.is_some() {
            let place = |timer: &Timer| place_of(&timer.place());
            let after = wanted.after.as_ref().map(place_of);
            found.retain(|timer| after.as_ref().is_none_or(|after| place(timer) > *after));
            found.sort_by_key(place);
            found.truncate(wanted.limit);
        }
        Ok(found)
    }

    async fn put_timer(&mut self, model: &ReadModelId, timer: &Timer) -> Result<(), BoxError> {
        let place = place_of(&timer.place());
        let condition = self.leave_place(model, &timer.stream_id, &timer.key).await?;
        self.stage(&timers(model.name()), &place, Some(of_timer(timer)))?;
        let pointer = item_of([("place", text(place)), (WRITING, text(Uuid::new_v4().to_string()))]);
        let key = key_of(&timer.stream_id, &timer.key);
        self.stage_if(&keys(model.name()), &key, Some(pointer), Some(condition))
    }

    async fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<(), BoxError> {
        let condition = self.leave_place(model, stream_id, key).await?;
        self.stage_if(&keys(model.name()), &key_of(stream_id, key), None, Some(condition))
    }
}

impl Tx {
    /// Returns where a timer is, as this transaction read it first: what it writes depends on that.
    async fn pointer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<Option<Item>, BoxError> {
        let key = key_of(stream_id, key);
        if let Some(known) = self.timer_pointers.get(&key) {
            return Ok(known.clone());
        }
        let found = self.get(&keys(model.name()), &key).await?;
        self.timer_pointers.insert(key, found.clone());
        Ok(found)
    }

    /// Deletes the timer from its place, if it is set. Returns the condition for what is written about it.
    async fn leave_place(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<Condition, BoxError> {
        let Some(pointer) = self.pointer(model, stream_id, key).await? else { return Ok(Condition::Absent) };
        self.stage(&timers(model.name()), to_text(&pointer, "place")?, None)?;
        Ok(Condition::IsWriting(to_text(&pointer, WRITING)?.parse()?))
    }
}

fn of_timer(timer: &Timer) -> Item {
    let mut item = item_of([
        ("stream_id", text(timer.stream_id.as_str())),
        ("timer_key", text(&timer.key)),
        ("id", text(&timer.id)),
        ("due", number(timer.due.as_micros())),
        ("payload", text(timer.payload.as_str())),
        ("changeset_id", number(timer.changeset_id.get())),
        ("event_id", number(timer.event_id.get())),
        ("set_at", number(timer.set_at.as_micros())),
        ("attempts", number(timer.attempts)),
        ("next_at", number(timer.next_at.as_micros())),
    ]);
    if let Some(error) = &timer.error {
        item.insert("error".to_owned(), text(error));
    }
    item
}

fn to_timer(item: &Item) -> Result<Timer, BoxError> {
    let error = item.contains_key("error").then(|| to_text(item, "error")).transpose()?;
    Ok(Timer {
        stream_id: StreamId::new(to_text(item, "stream_id")?)?,
        key: to_text(item, "timer_key")?.to_owned(),
        id: to_text(item, "id")?.to_owned(),
        due: Timestamp::from_micros(to_number(item, "due")?),
        payload: Json::parse(to_text(item, "payload")?)?,
        changeset_id: ChangesetId::new(to_number(item, "changeset_id")?),
        event_id: EventId::new(to_number(item, "event_id")?),
        set_at: Timestamp::from_micros(to_number(item, "set_at")?),
        attempts: to_number(item, "attempts")?,
        next_at: Timestamp::from_micros(to_number(item, "next_at")?),
        error: error.map(ToOwned::to_owned),
    })
}
