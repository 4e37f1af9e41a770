//! The timers of each reactor.

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Tx;
use super::sql::{signed, unsigned, without_nul};
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
        let find = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM ees.timers WHERE reactor = $1 AND stream_id = $2 AND key = $3"
        ));
        let find = find.bind(model.name()).bind(stream_id.as_str()).bind(key);
        find.fetch_optional(self.inner()).await?.as_ref().map(timer).transpose()
    }

    async fn timers(&mut self, model: &ReadModelId, wanted: &TimerQuery) -> Result<Vec<Timer>, BoxError> {
        let list = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM ees.timers WHERE reactor = $1 AND ($2::text IS NULL OR stream_id = $2)
                AND (next_at, stream_id, key) > ($3, $4, $5)
             ORDER BY next_at, stream_id, key LIMIT $6"
        ));
        let (at, after, key) = match &wanted.after {
            Some(place) => (place.at.as_micros(), place.stream_id.as_str(), &*place.key),
            None => (i64::MIN, "", ""),
        };
        let rows = list
            .bind(model.name())
            .bind(wanted.stream_id.as_ref().map(StreamId::as_str))
            .bind(at)
            .bind(after)
            .bind(key)
            .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
            .fetch_all(self.inner())
            .await?;
        rows.iter().map(timer).collect()
    }

    async fn put_timer(&mut self, model: &ReadModelId, timer: &Timer) -> Result<(), BoxError> {
        sqlx::query(concat!(
            "INSERT INTO ees.timers (reactor, ",
            columns!(),
            ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (reactor, stream_id, key) DO UPDATE SET
                id = excluded.id, due = excluded.due, payload = excluded.payload,
                changeset_id = excluded.changeset_id, event_id = excluded.event_id, set_at = excluded.set_at,
                attempts = excluded.attempts, next_at = excluded.next_at, error = excluded.error"
        ))
        .bind(model.name())
        .bind(timer.stream_id.as_str())
        .bind(&timer.key)
        .bind(&timer.id)
        .bind(timer.due.as_micros())
        .bind(timer.payload.as_str())
        .bind(signed(timer.changeset_id.get()))
        .bind(signed(timer.event_id.get()))
        .bind(timer.set_at.as_micros())
        .bind(i64::from(timer.attempts))
        .bind(timer.next_at.as_micros())
        .bind(timer.error.as_deref().map(without_nul))
        .execute(self.inner())
        .await?;
        Ok(())
    }

    async fn remove_timer(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        key: &str,
    ) -> Result<(), BoxError> {
        sqlx::query("DELETE FROM ees.timers WHERE reactor = $1 AND stream_id = $2 AND key = $3")
            .bind(model.name())
            .bind(stream_id.as_str())
            .bind(key)
            .execute(self.inner())
            .await?;
        Ok(())
    }
}

fn timer(row: &PgRow) -> Result<Timer, BoxError> {
    Ok(Timer {
        stream_id: StreamId::new(row.try_get(0)?)?,
        key: row.try_get(1)?,
        id: row.try_get(2)?,
        due: Timestamp::from_micros(row.try_get(3)?),
        payload: Json::parse(row.try_get(4)?)?,
        changeset_id: ChangesetId::new(unsigned(row.try_get(5)?)),
        event_id: EventId::new(unsigned(row.try_get(6)?)),
        set_at: Timestamp::from_micros(row.try_get(7)?),
        attempts: u32::try_from(row.try_get::<i64, _>(8)?)?,
        next_at: Timestamp::from_micros(row.try_get(9)?),
        error: row.try_get(10)?,
    })
}
