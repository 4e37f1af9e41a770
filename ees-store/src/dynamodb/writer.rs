//! Appends: a read of the stream's end, and of the key if there is one, then one conditional write.

use std::time::Duration;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use uuid::Uuid;

use super::doubt::UnderWay;
use super::error::{failed, is_condition, refused};
use super::item::{self, COMMIT_ID, Item};
use super::keys::{self, Keys};
use super::plan::Candidate;
use super::queue::Queue;
use super::table::Table;
use crate::decide::decide;
use crate::{Changeset, ChangesetId, Commit, Committed, Refusal, Result, StreamId, Tail, Timestamp};

/// What a commit needs besides the table.
pub(super) struct Rules {
    pub(super) limit_bytes: usize,
    pub(super) keys: Keys,
    pub(super) keep_keys: Duration,
}

/// A commit's answer; and the changeset, when it was this call that stored it.
pub(super) type Outcome = (Committed, Option<Changeset>);

/// Appends one changeset, and leaves it in the queue. `known` is a tail that the stream once had, if one is
/// at hand.
pub(super) async fn commit(
    table: &Table,
    queue: Option<&Queue>,
    rules: &Rules,
    commit: &Commit,
    known: Option<&Tail>,
) -> Result<Outcome> {
    let size_bytes = commit.size_bytes();
    if size_bytes > rules.limit_bytes {
        return Err(Refusal::TooLarge { size_bytes, limit_bytes: rules.limit_bytes }.into());
    }
    // Now, and not before the looks: lists by type rely on a stream's time being that of its writing.
    let decided = |tail: &Tail| decide(tail, commit, rules.limit_bytes, Timestamp::now());
    let tail = match guess(commit, known).filter(|tail| decided(tail).is_ok()) {
        Some(tail) => tail,
        None => tail(table, &commit.stream_id).await?,
    };
    if let Some(committed) = rules.keys.before(table, commit, &tail).await? {
        return Ok(stored_before(queue, commit, committed));
    }
    match decided(&tail) {
        Ok(changeset) => append(table, queue, rules, commit, changeset).await,
        Err(refusal) => match rules.keys.of_refused(table, commit).await? {
            Some(committed) => Ok(stored_before(queue, commit, committed)),
            None => Err(refusal.into()),
        },
    }
}

/// The tail that a commit is tried with before the stream is looked at. The write fails if it is outdated, and a refusal
/// may not rest on it.
pub(super) fn guess(commit: &Commit, known: Option<&Tail>) -> Option<Tail> {
    match commit.expectation.number() {
        0 => Some(Tail::default()),
        _ => known.cloned(),
    }
}

/// Where a stream ends at this moment.
pub(super) async fn tail(table: &Table, stream_id: &StreamId) -> Result<Tail> {
    let last = table.last_of(stream_id).await?;
    last.map_or_else(|| Ok(Tail::default()), |last| item::to_tail(&last))
}

async fn append(
    table: &Table,
    queue: Option<&Queue>,
    rules: &Rules,
    commit: &Commit,
    changeset: Changeset,
) -> Result<Outcome> {
    let commit_id = Uuid::new_v4();
    let under_way = UnderWay::new(queue, candidate(commit, changeset.changeset_id));
    let mut item = item::of_changeset(&changeset, commit_id);
    let stored_as = (changeset.changeset_id, commit_id);
    let marker = rules.keys.remember(&mut item, commit, stored_as, table.clock.now(), rules.keep_keys);
    let found = if marker.is_none() && changeset.stream_type.is_none() {
        put(table, item).await?
    } else {
        put_all(table, actions(table, item, marker, &changeset)?).await?
    };
    let stored = Committed { changeset_id: changeset.changeset_id, checkpoint: None };
    let before = match found {
        Found::Nothing => None,
        // An answer was lost, and this is what became of the first attempt.
        Found::Changeset(there) | Found::Marker(there) if is_of(&there, commit_id) => None,
        other => Some(other),
    };
    let Some(before) = before else {
        under_way.stored();
        return Ok((stored, Some(changeset)));
    };
    under_way.refused();
    let repeated = match before {
        Found::Marker(marker) => Some(keys::answer(&marker, commit)?),
        Found::Changeset(winner) => rules.keys.of_loser(table, commit, &winner).await?,
        Found::Nothing => None,
    };
    match repeated {
        Some(committed) => Ok(stored_before(queue, commit, committed)),
        None => Err(Refusal::Conflict { expectation: commit.expectation }.into()),
    }
}

/// The process that stored it may have died before it was indexed: it is a retry, so somebody did not get the
/// answer.
fn stored_before(queue: Option<&Queue>, commit: &Commit, committed: Committed) -> Outcome {
    if let Some(queue) = queue {
        queue.push(candidate(commit, committed.changeset_id));
    }
    (committed, None)
}

fn candidate(commit: &Commit, changeset_id: ChangesetId) -> Candidate {
    Candidate {
        stream_id: commit.stream_id.clone(),
        changeset_id,
        // What an item has besides: its key, its numbers and its trace.
        size_bytes: commit.size_bytes()
            + commit.stream_id.as_str().len()
            + commit.trace.as_ref().map_or(0, |trace| trace.as_stored().len())
            + 300,
    }
}

/// What stood in the way.
enum Found {
    Nothing,
    Changeset(Item),
    Marker(Item),
}

async fn put(table: &Table, changeset: Item) -> Result<Found> {
    let put = || {
        let call = table.client.put_item().table_name(&*table.name).set_item(Some(changeset.clone()));
        let call = call
            .condition_expression("attribute_not_exists(#s)")
            .expression_attribute_names("#s", item::STREAM_ID);
        call.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).send()
    };
    match table.call(put).await {
        Ok(_) => Ok(Found::Nothing),
        Err(SdkError::ServiceError(answer)) if answer.err().is_conditional_check_failed_exception() => {
            match answer.into_err() {
                PutItemError::ConditionalCheckFailedException(there) => {
                    Ok(Found::Changeset(there.item.unwrap_or_default()))
                }
                other => Err(failed(SdkError::<PutItemError>::construction_failure(other))),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

/// The changeset first, then what goes with it.
fn actions(
    table: &Table,
    item: Item,
    marker: Option<Item>,
    changeset: &Changeset,
) -> Result<Vec<TransactWriteItem>> {
    let mut actions = vec![put_new(table, item)?];
    if let Some(marker) = marker {
        actions.push(put_new(table, marker)?);
    }
    if let Some(stream_type) = &changeset.stream_type {
        let put =
            Put::builder().table_name(&*table.name).set_item(Some(item::of_head(changeset, stream_type)));
        actions.push(TransactWriteItem::builder().put(put.build().map_err(super::error::unbuilt)?).build());
    }
    Ok(actions)
}

fn put_new(table: &Table, item: Item) -> Result<TransactWriteItem> {
    let put = Put::builder()
        .table_name(&*table.name)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(#s)")
        .expression_attribute_names("#s", item::STREAM_ID)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Ok(TransactWriteItem::builder().put(put.build().map_err(super::error::unbuilt)?).build())
}

async fn put_all(table: &Table, actions: Vec<TransactWriteItem>) -> Result<Found> {
    let error = match table.transact(&actions).await {
        Ok(()) => return Ok(Found::Nothing),
        Err(error) => error,
    };
    let Some(reasons) = refused(&error) else { return Err(failed(error)) };
    let of = |at: usize| {
        let reason = reasons.get(at).filter(|reason| is_condition(reason))?;
        Some(reason.item.clone().unwrap_or_default())
    };
    // The key comes first: whose commit was stored before is told so, whatever has happened to the stream
    // since.
    match (of(1), of(0)) {
        (Some(marker), _) => Ok(Found::Marker(marker)),
        (None, Some(changeset)) => Ok(Found::Changeset(changeset)),
        (None, None) => Err(failed(error)),
    }
}

/// Whether it is what this call has written.
pub(super) fn is_of(there: &Item, commit_id: Uuid) -> bool {
    let known = there.get(COMMIT_ID).and_then(|known| known.as_b().ok());
    known.is_some_and(|known| known.as_ref() == commit_id.as_bytes())
}
