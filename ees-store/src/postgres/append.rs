//! The functions in the database that append: what they are called with, and what they answer.

use std::collections::HashMap;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use super::batch::{Batch, Place, Waiting};
use super::sql::{NOW, signed, unsigned};
use crate::decide::{Refusal, Tail};
use crate::quarantine::checksum;
use crate::{
    ChangesetId, Checkpoint, Commit, Committed, EventId, Expectation, StreamType, Timestamp, TraceContext,
};

/// What the database made of a batch.
pub(super) struct Answer {
    pub(super) first: Checkpoint,
    pub(super) appended: u64,
    pub(super) met: Vec<bool>,
    pub(super) tails: Vec<Tail>,
    /// By job, counted within the batch: what the first commit with its key became.
    pub(super) repeats: HashMap<usize, Result<Committed, Refusal>>,
}

impl Answer {
    /// Whether the run of this commit was appended.
    pub(super) fn has_appended(&self, place: &Place) -> bool {
        self.appended > 0 && self.met[place.run]
    }
}

/// The call of the function that appends.
pub(super) fn call<J: Waiting>(batch: &Batch<J>) -> Query<'_, Postgres, PgArguments> {
    if let Some(job) = alone(batch) {
        return call_for_one(job, batch.places[0].time);
    }
    let heads =
        || batch.jobs.iter().zip(&batch.places).filter(|(_, place)| place.nth == 0).map(|(job, _)| job);
    let streams: Vec<&str> = heads().map(|job| job.commit().stream_id.as_str()).collect();
    let expected: Vec<i64> = heads().map(|job| signed(job.commit().expectation.number())).collect();
    let by_event: Vec<bool> =
        heads().map(|job| matches!(job.commit().expectation, Expectation::LastEvent(_))).collect();
    let types: Vec<Option<&str>> =
        heads().map(|job| job.commit().stream_type.as_ref().map(StreamType::as_str)).collect();
    let of_place = |value: fn(&Place) -> i64| batch.places.iter().map(value).collect::<Vec<_>>();
    let runs: Vec<i32> =
        batch.places.iter().map(|place| i32::try_from(place.run + 1).unwrap_or(i32::MAX)).collect();
    let counts: Vec<i64> = batch.jobs.iter().map(|job| signed(job.commit().events.count())).collect();
    let events: Vec<&str> = batch.jobs.iter().map(|job| job.commit().events.as_stored()).collect();
    let metadata: Vec<&str> = batch.jobs.iter().map(|job| job.commit().metadata_as_stored()).collect();
    let checksums: Vec<i64> = batch.jobs.iter().map(|job| checksum_of(job.commit())).collect();
    let keyed = batch.jobs.iter().any(|job| job.digest().is_some());
    let keys: Vec<Option<[u8; 32]>> =
        if keyed { batch.jobs.iter().map(|job| job.digest()).collect() } else { Vec::new() };
    let traces = traces(batch);
    let parameters = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14";
    let traced = if traces.is_some() { ", $15" } else { "" };
    let query =
        sqlx::query(AssertSqlSafe(format!("SELECT * FROM ees_store.append({parameters}, {NOW}{traced})")))
            .bind(streams)
            .bind(expected)
            .bind(by_event)
            .bind(types)
            .bind(runs)
            .bind(of_place(|place| signed(place.nth)))
            .bind(of_place(|place| signed(place.events_before)))
            .bind(counts)
            .bind(of_place(|place| place.time.as_micros()))
            .bind(events)
            .bind(metadata)
            .bind(checksums)
            .bind(keys)
            .bind(batch.all_or_none);
    match traces {
        Some(traces) => query.bind(traces),
        None => query,
    }
}

/// The trace of each commit of a batch; `None` if none has one.
fn traces<J: Waiting>(batch: &Batch<J>) -> Option<Vec<Option<&str>>> {
    let traces: Vec<_> =
        batch.jobs.iter().map(|job| job.commit().trace.as_ref().map(TraceContext::as_stored)).collect();
    traces.iter().any(Option::is_some).then_some(traces)
}

/// The commit of a batch that needs no more than the short way: for one writer, half of the time its server
/// takes.
fn alone<J: Waiting>(batch: &Batch<J>) -> Option<&J> {
    batch.jobs.first().filter(|job| batch.jobs.len() == 1 && job.digest().is_none())
}

fn call_for_one<J: Waiting>(job: &J, time: Timestamp) -> Query<'_, Postgres, PgArguments> {
    let commit = job.commit();
    let trace = commit.trace.as_ref().map(TraceContext::as_stored);
    let sql = match trace {
        Some(_) => "SELECT * FROM ees_store.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        None => "SELECT * FROM ees_store.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    };
    let query = sqlx::query(sql)
        .bind(commit.stream_id.as_str())
        .bind(signed(commit.expectation.number()))
        .bind(matches!(commit.expectation, Expectation::LastEvent(_)))
        .bind(commit.stream_type.as_ref().map(StreamType::as_str))
        .bind(signed(commit.events.count()))
        .bind(time.as_micros())
        .bind(commit.events.as_stored())
        .bind(commit.metadata_as_stored())
        .bind(checksum_of(commit));
    match trace {
        Some(trace) => query.bind(trace),
        None => query,
    }
}

fn checksum_of(commit: &Commit) -> i64 {
    checksum(&commit.stream_id, &commit.events, &commit.metadata)
}

/// What was answered to the call for a batch.
pub(super) fn answer<J: Waiting>(batch: &Batch<J>, row: &PgRow) -> sqlx::Result<Answer> {
    if alone(batch).is_some() {
        return answer_to_one(row);
    }

    let last_changeset: Vec<i64> = row.try_get("last_changeset")?;
    // Not told where everything was appended.
    let runs = last_changeset.len();
    let last_event: Option<Vec<i64>> = row.try_get("last_event")?;
    let last_event = last_event.unwrap_or_else(|| vec![0; runs]);
    let last_time: Option<Vec<i64>> = row.try_get("last_time")?;
    let last_time = last_time.unwrap_or_else(|| vec![0; runs]);
    let known_type: Option<Vec<Option<String>>> = row.try_get("known_type")?;
    let known_type = known_type.unwrap_or_else(|| vec![None; runs]);
    let tails = last_changeset.into_iter().zip(last_event).zip(last_time).zip(known_type);
    let tails = tails.map(|(((changeset, event), time), stream_type)| Tail {
        last_changeset: ChangesetId::new(unsigned(changeset)),
        last_event: EventId::new(unsigned(event)),
        last_timestamp: Timestamp::from_micros(time),
        stream_type: stream_type.as_deref().map(StreamType::stored),
    });
    Ok(Answer {
        first: Checkpoint::new(unsigned(row.try_get("first_checkpoint")?)),
        appended: unsigned(row.try_get("appended")?),
        met: row.try_get("run_met")?,
        tails: tails.collect(),
        repeats: repeats(row)?,
    })
}

fn answer_to_one(row: &PgRow) -> sqlx::Result<Answer> {
    let met: bool = row.try_get("met")?;
    let tail = Tail {
        last_changeset: ChangesetId::new(unsigned(row.try_get("last_changeset")?)),
        last_event: EventId::new(unsigned(row.try_get("last_event")?)),
        last_timestamp: Timestamp::from_micros(row.try_get("last_time")?),
        stream_type: row.try_get::<Option<&str>, _>("known_type")?.map(StreamType::stored),
    };
    Ok(Answer {
        first: Checkpoint::new(unsigned(row.try_get("first_checkpoint")?)),
        appended: u64::from(met),
        met: vec![met],
        tails: vec![tail],
        repeats: HashMap::new(),
    })
}

fn repeats(row: &PgRow) -> sqlx::Result<HashMap<usize, Result<Committed, Refusal>>> {
    let Some(places) = row.try_get::<Option<Vec<i64>>, _>("repeat_of")? else { return Ok(HashMap::new()) };
    let checkpoints: Vec<i64> = row.try_get("repeat_checkpoint")?;
    let changesets: Vec<i64> = row.try_get("repeat_changeset")?;
    let same: Vec<bool> = row.try_get("repeat_same")?;
    let repeats = places.into_iter().zip(checkpoints).zip(changesets).zip(same);
    let repeats = repeats.map(|(((place, checkpoint), changeset), same)| {
        let committed = Committed {
            changeset_id: ChangesetId::new(unsigned(changeset)),
            checkpoint: Some(Checkpoint::new(unsigned(checkpoint))),
        };
        let verdict = if same { Ok(committed) } else { Err(Refusal::KeyReused) };
        (usize::try_from(place - 1).unwrap_or(usize::MAX), verdict)
    });
    Ok(repeats.collect())
}
