//! Idempotency keys: each is an item of its own, written with the changeset or not at all. DynamoDB removes
//! it when its time has come.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Config;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::item::{self, COMMIT_ID, EVENTS, EXPIRES_AT, Item, METADATA, bytes, number};
use super::options::Options;
use super::table::Table;
use crate::{ChangesetId, Commit, Committed, IdempotencyKey, KeyCheck, Refusal, Result, StreamId, Timestamp};

const STORED_AS: &str = "stored_as";
const BODY: &str = "body";
/// What the ids of the items of keys begin with.
const PREFIX: &str = "KEY!!!";

/// The key of the item for this idempotency key.
pub(super) fn key_of(stream_id: &StreamId, key: &IdempotencyKey) -> Item {
    let digest = hex::encode(key.digest(stream_id));
    item::key(&format!("{}{PREFIX}{digest}", StreamId::RESERVED_PREFIX), 0)
}

/// What is remembered of a commit from `now` on.
pub(super) fn of_commit(
    commit: &Commit,
    key: &IdempotencyKey,
    stored_as: ChangesetId,
    commit_id: Uuid,
    now: Timestamp,
    keep: Duration,
) -> Item {
    let mut marker = key_of(&commit.stream_id, key);
    marker.insert(item::COMMIT_ID.to_owned(), bytes(commit_id.as_bytes().to_vec()));
    let now = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
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
///
/// What refuses it may be its own changeset, of an attempt that is under way and whose key is to be seen in a
/// moment. So the key is read settled.
pub(super) async fn repeat(table: &Table, commit: &Commit) -> Result<Option<Committed>> {
    let Some(key) = &commit.idempotency_key else { return Ok(None) };
    let [marker] = table.get_settled([key_of(&commit.stream_id, key)]).await?;
    marker.map(|marker| answer(&marker, commit)).transpose()
}

fn digest(commit: &Commit) -> Vec<u8> {
    digest_of(commit.events.as_stored(), commit.metadata().as_str())
}

/// No JSON text holds the zero byte between the two.
fn digest_of(events: &str, metadata: &str) -> Vec<u8> {
    Sha256::new_with_prefix(events).chain_update([0]).chain_update(metadata).finalize().to_vec()
}

/// Checks the idempotency keys in a table: the changeset that each became is there, with the same body. It
/// reads the whole table twice, at half a read unit for 4 KB each time.
///
/// # Errors
/// As for [`Store::open`](super::Store::open).
pub async fn check_keys(config: impl Into<Config>, table: &str) -> Result<KeyCheck> {
    let (table, _) = Table::find(config, table, Options::default().patience).await?;
    let (mut check, mut keys) = (KeyCheck::default(), HashMap::new());
    let now = u64::try_from(table.clock.now().as_micros() / 1_000_000).unwrap_or(0);
    let prefix = format!("{}{PREFIX}", StreamId::RESERVED_PREFIX);
    let attribute =
        |item: &Item, name| item.get(name).and_then(|it| it.as_b().ok()).map(|it| it.as_ref().to_vec());
    table
        .scan(|marker| {
            let Some(key) = item::to_text(marker, item::STREAM_ID)?.strip_prefix(&prefix) else {
                return Ok(());
            };
            check.keys += 1;
            check.expired += u64::from(item::to_number(marker, EXPIRES_AT).is_ok_and(|at| at <= now));
            match (attribute(marker, COMMIT_ID), attribute(marker, BODY), item::to_number(marker, STORED_AS))
            {
                (Some(commit_id), Some(body), Ok(stored_as)) => {
                    let key = key.to_owned();
                    keys.insert(commit_id, Remembered { key, body, stored_as });
                }
                _ => check.fault(|| format!("the key {key} does not tell which changeset it became")),
            }
            Ok(())
        })
        .await?;
    // Keys first: what is committed meanwhile is no fault.
    table
        .scan(|changeset| {
            let known = attribute(changeset, COMMIT_ID).filter(|_| !item::is_reserved(changeset));
            let Some(Remembered { key, body, stored_as }) = known.and_then(|id| keys.remove(&id)) else { return Ok(()) };
            let changeset_id = item::to_number(changeset, item::CHANGESET_ID)?;
            if changeset_id != stored_as {
                check.fault(|| format!("the key {key} became changeset {stored_as}, but that commit is changeset {changeset_id}"));
            }
            let (events, metadata) = (item::to_text(changeset, EVENTS), item::to_text(changeset, METADATA));
            if !matches!((events, metadata), (Ok(events), Ok(metadata)) if digest_of(events, metadata) == body) {
                check.fault(|| format!("the key {key} became changeset {changeset_id}, whose body is another one by now"));
            }
            Ok(())
        })
        .await?;
    for Remembered { key, stored_as, .. } in keys.into_values() {
        check.fault(|| format!("the key {key} became changeset {stored_as} of a stream, which is not there"));
    }
    Ok(check)
}

/// What an item of a key tells.
struct Remembered {
    key: String,
    body: Vec<u8>,
    stored_as: u64,
}
