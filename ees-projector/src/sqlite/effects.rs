//! The ledger of effects of each reactor.

use std::time::Duration;

use ees_store::{ChangesetId, EventId, Json, StreamId, Timestamp};
use rusqlite::{Row, params};

use super::Tx;
use crate::database::LedgerRows;
use crate::error::BoxError;
use crate::reactor::{Effect, EffectId, EffectQuery, EffectState, Ended};
use crate::read_model_id::ReadModelId;

macro_rules! columns {
    () => {
        "stream_id, changeset_id, event_id, effect, state, attempts, since, began_at, ended_at, error, result"
    };
}

/// An attempt of another worker is never in progress when one begins: the claim is held by one process, until it ends.
impl LedgerRows for Tx {
    async fn begin_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        at: Timestamp,
        _: Duration,
    ) -> Result<Effect, BoxError> {
        let mut begin = self.of(model).await?.prepare_cached(concat!(
            "INSERT INTO ees_effects (reactor, stream_id, changeset_id, event_id, effect, state, attempts, since, began_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 'started', 1, ?6, ?6)
             ON CONFLICT (reactor, stream_id, changeset_id, event_id, effect) DO UPDATE SET
                attempts = attempts + (state <> 'done'),
                began_at = iif(state = 'done', began_at, excluded.began_at),
                ended_at = iif(state = 'done', ended_at, NULL),
                state = iif(state = 'done', state, 'started')
             RETURNING ",
            columns!()
        ))?;
        let (changeset, event) = (id.changeset_id.get(), id.event_id.get());
        let stream = id.stream_id.as_str();
        begin
            .query_row(params![model.name(), stream, changeset, event, id.effect, at.as_micros()], |row| {
                Ok(effect(row))
            })?
    }

    async fn end_effect(
        &mut self,
        model: &ReadModelId,
        id: &EffectId,
        ended: &Ended,
    ) -> Result<(), BoxError> {
        let mut end = self.of(model).await?.prepare_cached(
            "UPDATE ees_effects SET state = ?6, ended_at = ?7, error = ?8, result = ?9
             WHERE reactor = ?1 AND stream_id = ?2 AND changeset_id = ?3 AND event_id = ?4 AND effect = ?5
                AND (state = 'started' AND attempts = ?10 OR ?6 = 'done' AND state <> 'done')",
        )?;
        end.execute(params![
            model.name(),
            id.stream_id.as_str(),
            id.changeset_id.get(),
            id.event_id.get(),
            id.effect,
            ended.state.as_str(),
            ended.at.as_micros(),
            ended.error,
            ended.result.as_ref().map(Json::as_str),
            ended.attempt,
        ])?;
        Ok(())
    }

    async fn settle_effects(
        &mut self,
        model: &ReadModelId,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
        state: EffectState,
    ) -> Result<(), BoxError> {
        let mut settle = self.of(model).await?.prepare_cached(
            "UPDATE ees_effects SET state = ?4
             WHERE reactor = ?1 AND stream_id = ?2 AND changeset_id = ?3 AND state <> 'done'",
        )?;
        settle.execute(params![model.name(), stream_id.as_str(), changeset_id.get(), state.as_str()])?;
        Ok(())
    }

    async fn effects(&mut self, model: &ReadModelId, wanted: &EffectQuery) -> Result<Vec<Effect>, BoxError> {
        let mut list = self.of(model).await?.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM ees_effects WHERE reactor = ?1 AND (?2 IS NULL OR stream_id = ?2) AND (?3 IS NULL OR state = ?3)
             ORDER BY began_at DESC LIMIT ?4"
        ))?;
        let stream = wanted.stream_id.as_ref().map(StreamId::as_str);
        let state = wanted.state.map(EffectState::as_str);
        let mut rows = list.query(params![model.name(), stream, state, wanted.limit])?;
        let mut effects = Vec::new();
        while let Some(row) = rows.next()? {
            effects.push(effect(row)?);
        }
        Ok(effects)
    }

    async fn sweep_effects(
        &mut self,
        model: &ReadModelId,
        before: Timestamp,
        limit: usize,
    ) -> Result<usize, BoxError> {
        let mut delete = self.of(model).await?.prepare_cached(
            "DELETE FROM ees_effects WHERE (reactor, stream_id, changeset_id, event_id, effect) IN (
                SELECT reactor, stream_id, changeset_id, event_id, effect FROM ees_effects e
                WHERE reactor = ?1 AND began_at < ?2 AND state IN ('done', 'discarded') AND NOT EXISTS (
                    SELECT 1 FROM ees_parked_changesets p WHERE p.projection = e.reactor
                        AND p.stream_id = e.stream_id AND p.changeset_id = e.changeset_id
                ) LIMIT ?3
            )",
        )?;
        Ok(delete.execute(params![model.name(), before.as_micros(), limit])?)
    }
}

fn effect(row: &Row<'_>) -> Result<Effect, BoxError> {
    let ended_at: Option<i64> = row.get(8)?;
    let result: Option<String> = row.get(10)?;
    Ok(Effect {
        stream_id: StreamId::new(row.get_ref(0)?.as_str()?)?,
        changeset_id: ChangesetId::new(row.get(1)?),
        event_id: EventId::new(row.get(2)?),
        effect: row.get(3)?,
        state: row.get_ref(4)?.as_str()?.parse()?,
        attempts: row.get(5)?,
        since: Timestamp::from_micros(row.get(6)?),
        began_at: Timestamp::from_micros(row.get(7)?),
        ended_at: ended_at.map(Timestamp::from_micros),
        error: row.get(9)?,
        result: result.map(|text| Json::parse(&text)).transpose()?,
    })
}
