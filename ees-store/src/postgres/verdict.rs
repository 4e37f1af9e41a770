//! What the commits of a batch are told, now that its transaction is committed. Pure.

use super::append::Answer;
use super::batch::{Batch, Waiting};
use crate::decide::{Refusal, decide};
use crate::{Committed, Timestamp};

/// By job. Nothing for one that was held up by another one, which has its verdict now: it is to be tried again.
pub(super) fn verdicts<J: Waiting>(
    batch: &Batch<J>,
    answer: &Answer,
    limit_bytes: usize,
    now: Timestamp,
) -> Vec<Option<Result<Committed, Refusal>>> {
    let mut next = answer.first;
    let mut verdicts = Vec::with_capacity(batch.jobs.len());
    for (number, (job, place)) in batch.jobs.iter().zip(&batch.places).enumerate() {
        let tail = &answer.tails[place.run];
        verdicts.push(if answer.has_appended(place) {
            let committed =
                Committed { changeset_id: tail.last_changeset.plus(place.nth + 1), checkpoint: Some(next) };
            next = next.next();
            Some(Ok(committed))
        } else if let Some(repeat) = answer.repeats.get(&number) {
            Some(repeat.clone())
        } else if place.nth == 0 {
            decide(tail, job.commit(), limit_bytes, now).err().map(Err)
        } else {
            None
        });
    }
    verdicts
}
