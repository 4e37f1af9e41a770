//! The ledger of effects of each reactor.

use std::time::Duration;

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::Tx;
use super::sql::{signed, unsigned, without_nul};
use crate::database::{Fenced, LedgerRows};
use crate::error::BoxError;
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use crate::read_model_id::ReadModelId;

macro_rules! columns {
    () => {
        "stream_id, changeset_id, event_id, effect, state, attempts, since, began_at, ended_at, error, result"
    };
}

/// An attempt of another worker that may still be in progress is left to that worker, by the database's clock.
impl LedgerRows for Tx {
    async fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        within: Duration,
    ) -> Result<Effect, BoxError> {
        let me = self.worker.clone();
        let begin = sqlx::query(concat!(
            "INSERT INTO ees.effects AS known (
                reactor, stream_id, changeset_id, event_id, effect, state, attempts, since, began_at, worker, busy_until
             )
             VALUES (
                $1, $2, $3, $4, $5, 'started', 1, $6, $6, $7, clock_timestamp() + make_interval(secs => $8)
             )
             ON CONFLICT (reactor, stream_id, changeset_id, event_id, effect) DO UPDATE SET
                attempts = known.attempts + CASE WHEN known.state = 'done' THEN 0 ELSE 1 END,
                began_at = CASE WHEN known.state = 'done' THEN known.began_at ELSE excluded.began_at END,
                ended_at = CASE WHEN known.state = 'done' THEN known.ended_at END,
                state = CASE WHEN known.state = 'done' THEN known.state ELSE 'started' END,
                worker = excluded.worker,
                busy_until = excluded.busy_until
             WHERE known.state = 'done' OR known.ended_at IS NOT NULL OR known.worker = excluded.worker
                OR coalesce(known.busy_until <= clock_timestamp(), true)
             RETURNING ",
            columns!()
        ));
        let begin = begin.bind(model.name()).bind(id.stream_id.as_str()).bind(signed(id.changeset_id.get()));
        let begin = begin.bind(signed(id.event_id.get())).bind(&id.effect).bind(at.as_micros());
        let begin = begin.bind(&*me).bind(within.as_secs_f64());
        let begun = begin.fetch_optional(self.inner()).await?;
        effect(&begun.ok_or(Fenced)?)
    }

    async fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> Result<(), BoxError> {
        let end = sqlx::query(
            "UPDATE ees.effects SET state = $6, ended_at = $7, error = $8, result = $9
             WHERE reactor = $1 AND stream_id = $2 AND changeset_id = $3 AND event_id = $4 AND effect = $5
                AND (state = 'started' AND attempts = $10 OR $6 = 'done' AND state <> 'done')",
        );
        end.bind(model.name())
            .bind(id.stream_id.as_str())
            .bind(signed(id.changeset_id.get()))
            .bind(signed(id.event_id.get()))
            .bind(&id.effect)
            .bind(ended.state.as_str())
            .bind(ended.at.as_micros())
            .bind(ended.error.as_deref().map(without_nul))
            .bind(ended.result.as_ref().map(Json::as_str))
            .bind(i64::from(ended.attempt))
            .execute(self.inner())
            .await?;
        Ok(())
    }

    async fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> Result<(), BoxError> {
        sqlx::query(
            "UPDATE ees.effects SET state = $4
             WHERE reactor = $1 AND stream_id = $2 AND changeset_id = $3 AND state <> 'done'",
        )
        .bind(model.name())
        .bind(stream_id.as_str())
        .bind(signed(changeset_id.get()))
        .bind(state.as_str())
        .execute(self.inner())
        .await?;
        Ok(())
    }

    async fn effects(&mut self, model: &ReadModelId, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let list = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM ees.effects WHERE reactor = $1 AND ($2::text IS NULL OR stream_id = $2)
                AND ($3::text IS NULL OR state = $3) ORDER BY began_at DESC LIMIT $4"
        ));
        let rows = list
            .bind(model.name())
            .bind(wanted.stream_id.as_ref().map(StreamId::as_str))
            .bind(wanted.state.map(EffectState::as_str))
            .bind(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
            .fetch_all(self.inner())
            .await?;
        rows.iter().map(effect).collect()
    }

    async fn sweep_effects(
        &mut self,
        model: &ReadModelId,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let deleted = sqlx::query(
            "DELETE FROM ees.effects WHERE (reactor, stream_id, changeset_id, event_id, effect) IN (
                SELECT reactor, stream_id, changeset_id, event_id, effect FROM ees.effects e
                WHERE reactor = $1 AND began_at < $2 AND state IN ('done', 'discarded') AND NOT EXISTS (
                    SELECT 1 FROM ees.parked_changesets p WHERE p.projection = e.reactor
                        AND p.stream_id = e.stream_id AND p.changeset_id = e.changeset_id
                ) LIMIT $3
            )",
        )
        .bind(model.name())
        .bind(before.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .execute(self.inner())
        .await?;
        Ok(usize::try_from(deleted.rows_affected()).unwrap_or(usize::MAX))
    }
}

fn effect(row: &PgRow) -> Result<Effect, BoxError> {
    let result: Option<&str> = row.try_get(10)?;
    Ok(Effect {
        stream_id: StreamId::new(row.try_get(0)?)?,
        changeset_id: ChangesetId::new(unsigned(row.try_get(1)?)),
        event_id: EventId::new(unsigned(row.try_get(2)?)),
        effect: row.try_get(3)?,
        state: row.try_get::<&str, _>(4)?.parse()?,
        attempts: u32::try_from(row.try_get::<i64, _>(5)?)?,
        since: Timestamp::from_micros(row.try_get(6)?),
        began_at: Timestamp::from_micros(row.try_get(7)?),
        ended_at: row.try_get::<Option<i64>, _>(8)?.map(Timestamp::from_micros),
        error: row.try_get(9)?,
        result: result.map(Json::parse).transpose()?,
    })
}
