//! The timers of each reactor.

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::Tx;
use crate::database::TimerRows;
use crate::error::BoxError;
use crate::reactor::{Timer, TimerQuery};
use crate::read_model_id::ReadModelId;

macro_rules! columns {
    () => {
        "stream_id, key, id, due, payload, changeset_id, event_id, set_at, attempts, next_at, error"
    };
}

impl TimerRows for Tx {
    async fn timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<Option<Timer>, BoxError> {
        let mut find = self.connection().prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM ees_timers WHERE reactor = ?1 AND stream_id = ?2 AND key = ?3"
        ))?;
        find.query_row(params![model.name(), stream_id.as_str(), key], |row| Ok(timer(row)))
            .optional()?
            .transpose()
    }

    async fn timers(&mut self, model: &ReadModelId, wanted: &TimerQuery) -> Result<Vec<Timer>, BoxError> {
        let mut list = self.connection().prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM ees_timers WHERE reactor = ?1 AND (?2 IS NULL OR stream_id = ?2)
                AND (next_at, stream_id, key) > (?3, ?4, ?5)
             ORDER BY next_at, stream_id, key LIMIT ?6"
        ))?;
        let stream = wanted.stream_id.as_ref().map(StreamId::as_str);
        let (at, after, key) = match &wanted.after {
            Some(place) => (place.at.as_micros(), place.stream_id.as_str(), &*place.key),
            None => (i64::MIN, "", ""),
        };
        let mut rows = list.query(params![model.name(), stream, at, after, key, wanted.limit])?;
        let mut timers = Vec::new();
        while let Some(row) = rows.next()? {
            timers.push(timer(row)?);
        }
        Ok(timers)
    }

    async fn put_timer(&mut self, model: &ReadModelId, timer: &Timer) -> Result<(), BoxError> {
        let mut put = self.connection().prepare_cached(concat!(
            "INSERT OR REPLACE INTO ees_timers (reactor, ",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ))?;
        put.execute(params![
            model.name(),
            timer.stream_id.as_str(),
            timer.key,
            timer.id,
            timer.due.as_micros(),
            timer.payload.as_str(),
            timer.changeset_id.get(),
            timer.event_id.get(),
            timer.set_at.as_micros(),
            timer.attempts,
            timer.next_at.as_micros(),
            timer.error,
        ])?;
        Ok(())
    }

    async fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<(), BoxError> {
        let remove = "DELETE FROM ees_timers WHERE reactor = ?1 AND stream_id = ?2 AND key = ?3";
        let mut remove = self.connection().prepare_cached(remove)?;
        remove.execute(params![model.name(), stream_id.as_str(), key])?;
        Ok(())
    }
}

fn timer(row: &Row<'_>) -> Result<Timer, BoxError> {
    Ok(Timer {
        stream_id: StreamId::new(row.get_ref(0)?.as_str()?)?,
        key: row.get(1)?,
        id: row.get(2)?,
        due: Timestamp::from_micros(row.get(3)?),
        payload: Json::parse(row.get_ref(4)?.as_str()?)?,
        changeset_id: ChangesetId::new(row.get(5)?),
        event_id: EventId::new(row.get(6)?),
        set_at: Timestamp::from_micros(row.get(7)?),
        attempts: row.get(8)?,
        next_at: Timestamp::from_micros(row.get(9)?),
        error: row.get(10)?,
    })
}
