//! Idempotency keys: each is an item of its own, written with the changeset or not at all. DynamoDB removes
//! it when its time has come.

use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::item::{self, Item, bytes, number};
use super::table::Table;
use crate::{ChangesetId, Commit, Committed, IdempotencyKey, Refusal, Result, StreamId, Timestamp};

const STORED_AS: &str = "stored_as";
const BODY: &str = "body";

/// The key of the item for this idempotency key.
pub(super) fn key_of(stream_id: &StreamId, key: &IdempotencyKey) -> Item {
    let digest = hex::encode(key.digest(stream_id));
    item::key(&format!("{}KEY!!!{digest}", StreamId::RESERVED_PREFIX), 0)
}

/// What is remembered of a commit.
pub(super) fn of_commit(
    commit: &Commit,
    key: &IdempotencyKey,
    stored_as: ChangesetId,
    commit_id: Uuid,
    keep: Duration,
) -> Item {
    let mut marker = key_of(&commit.stream_id, key);
    marker.insert(item::COMMIT_ID.to_owned(), bytes(commit_id.as_bytes().to_vec()));
    let now = u64::try_from(Timestamp::now().as_micros() / 1_000_000).unwrap_or(0);
    marker.insert(item::EXPIRES_AT.to_owned(), number(now + keep.as_secs()));
    marker.insert(STORED_AS.to_owned(), number(stored_as.get()));
    marker.insert(BODY.to_owned(), bytes(digest(commit)));
    marker
}

/// The answer to a commit whose key is known.
pub(super) fn answer(marker: &Item, commit: &Commit) -> Result<Committed> {
    let is_same = marker
        .get(BODY)
        .and_then(|body| body.as_b().ok())
        .is_some_and(|body| body.as_ref() == digest(commit));
    if !is_same {
        return Err(Refusal::KeyReused.into());
    }
    Ok(Committed { changeset_id: ChangesetId::new(item::to_number(marker, STORED_AS)?), checkpoint: None })
}

/// The answer to a commit that was refused, or lost a race: if its key is known, it was stored before.
pub(super) async fn repeat(table: &Table, commit: &Commit) -> Result<Option<Committed>> {
    let Some(key) = &commit.idempotency_key else { return Ok(None) };
    let marker = table.get(key_of(&commit.stream_id, key)).await?;
    marker.map(|marker| answer(&marker, commit)).transpose()
}

/// No JSON text holds the zero byte between the two.
fn digest(commit: &Commit) -> Vec<u8> {
    let hash = Sha256::new_with_prefix(commit.events.as_stored());
    hash.chain_update([0]).chain_update(commit.metadata().as_str()).finalize().to_vec()
}
