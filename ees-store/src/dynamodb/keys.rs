//! Idempotency keys, kept in one of two ways, as the table's format has it.
//!
//! - In its changeset: the digest of stream and key, found by a local index. The commit is one write. The key is
//!   looked up before, and after the stream is known to have reached what the commit expects. So a commit that
//!   stores a changeset has seen the keys of all changesets before it, and no two of a stream have the same key.
//! - As an item of its own, written with the changeset or not at all. DynamoDB removes it when its time has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Config;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::failed;
use super::identity::Identity;
use super::item::{
    self, CHANGESET_ID, COMMIT_ID, EVENTS, EXPIRES_AT, Item, KEY_DIGEST, KEY_EXPIRES_AT, METADATA, STREAM_ID,
    bytes, number, text,
};
use super::options::Options;
use super::table::{Table, names, values};
use crate::{
    ChangesetId, Commit, Committed, IdempotencyKey, KeyCheck, Refusal, Result, StreamId, Tail, Timestamp,
};

const STORED_AS: &str = "stored_as";
const BODY: &str = "body";
/// What the ids of the items of keys begin with.
const PREFIX: &str = "KEY!!!";

/// How a table keeps idempotency keys.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// Each in its changeset.
    InChangesets {
        /// The local index over digests.
        index: Arc<str>,
        /// Whether there may be items of keys too, which were moved here from a table of another format.
        or_items: bool,
    },
    /// Each as an item.
    Items,
}

impl Keys {
    /// How this log keeps them.
    pub(super) fn of(table: &Table, identity: &Identity) -> Self {
        match &table.keys {
            Some(index) => {
                Self::InChangesets { index: index.clone(), or_items: !identity.has_keys_in_changesets() }
            }
            None => Self::Items,
        }
    }

    /// The answer to a commit whose key is known, as far as that is asked before it is written: not where the
    /// write itself tells. To be called after `tail` was read: what is stored before it is seen.
    pub(super) async fn before(
        &self,
        table: &Table,
        commit: &Commit,
        tail: &Tail,
    ) -> Result<Option<Committed>> {
        match (self, &commit.idempotency_key) {
            (Self::InChangesets { index, or_items }, Some(key)) if tail.exists() => {
                known(table, index, *or_items, commit, key).await
            }
            _ => Ok(None),
        }
    }

    /// The answer to a commit that was refused after [`before`](Self::before): if its key is known, it was stored
    /// before.
    ///
    /// What refuses it may be its own changeset, of an attempt that is under way and whose item of the key is to be
    /// seen in a moment. So that is read settled.
    pub(super) async fn of_refused(&self, table: &Table, commit: &Commit) -> Result<Option<Committed>> {
        match (self, &commit.idempotency_key) {
            (Self::Items, Some(key)) => {
                let [marker] = table.get_settled([key_of(&commit.stream_id, key)]).await?;
                marker.map(|marker| answer(&marker, commit)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// The answer to a commit whose number another changeset has: that may be its own, or come after its own.
    pub(super) async fn of_loser(
        &self,
        table: &Table,
        commit: &Commit,
        winner: &Item,
    ) -> Result<Option<Committed>> {
        match (self, &commit.idempotency_key) {
            (Self::InChangesets { index, or_items }, Some(key)) => match has_key(winner, commit, key) {
                true => answer_of_changeset(winner, commit).map(Some),
                false => known(table, index, *or_items, commit, key).await,
            },
            _ => self.of_refused(table, commit).await,
        }
    }

    /// Remembers the key of a commit from `now` on, if it has one: in its changeset, or in the item that is
    /// returned, to be written with it.
    pub(super) fn remember(
        &self,
        changeset: &mut Item,
        commit: &Commit,
        stored_as: (ChangesetId, Uuid),
        now: Timestamp,
        keep: Duration,
    ) -> Option<Item> {
        let key = commit.idempotency_key.as_ref()?;
        let expires_at = seconds(now) + keep.as_secs();
        match self {
            Self::InChangesets { .. } => {
                let digest = key.digest(&commit.stream_id);
                changeset.insert(KEY_DIGEST.to_owned(), bytes(digest.to_vec()));
                changeset.insert(KEY_EXPIRES_AT.to_owned(), number(expires_at));
                None
            }
            Self::Items => {
                let (changeset_id, commit_id) = stored_as;
                let mut marker = key_of(&commit.stream_id, key);
                marker.insert(COMMIT_ID.to_owned(), bytes(commit_id.as_bytes().to_vec()));
                marker.insert(EXPIRES_AT.to_owned(), number(expires_at));
                marker.insert(STORED_AS.to_owned(), number(changeset_id.get()));
                marker.insert(BODY.to_owned(), bytes(digest(commit)));
                Some(marker)
            }
        }
    }
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_micros() / 1_000_000).unwrap_or(0)
}

/// The key of the item for this idempotency key.
fn key_of(stream_id: &StreamId, key: &IdempotencyKey) -> Item {
    let digest = hex::encode(key.digest(stream_id));
    item::key(&format!("{}{PREFIX}{digest}", StreamId::RESERVED_PREFIX), 0)
}

/// Whether an item of this partition remembers a key.
pub(super) fn is_item(stream_id: &str) -> bool {
    stream_id.strip_prefix(StreamId::RESERVED_PREFIX).is_some_and(|kind| kind.starts_with(PREFIX))
}

/// The answer to a commit whose key is known by its item.
pub(super) fn answer(marker: &Item, commit: &Commit) -> Result<Committed> {
    let is_same = attribute(marker, BODY).is_some_and(|body| body == digest(commit));
    stored(item::to_number(marker, STORED_AS)?, is_same)
}

/// The answer to a commit whose key this changeset has.
pub(super) fn answer_of_changeset(changeset: &Item, commit: &Commit) -> Result<Committed> {
    let is = |name, text: &str| item::to_text(changeset, name).is_ok_and(|stored| stored == text);
    let is_same = is(EVENTS, commit.events.as_stored()) && is(METADATA, commit.metadata().as_str());
    stored(item::to_number(changeset, CHANGESET_ID)?, is_same)
}

fn stored(as_changeset: u64, is_same: bool) -> Result<Committed> {
    if !is_same {
        return Err(Refusal::KeyReused.into());
    }
    Ok(Committed { changeset_id: ChangesetId::new(as_changeset), checkpoint: None })
}

pub(super) fn has_key(changeset: &Item, commit: &Commit, key: &IdempotencyKey) -> bool {
    attribute(changeset, KEY_DIGEST).is_some_and(|digest| digest == key.digest(&commit.stream_id))
}

/// Whether the key of a changeset counts at this time.
pub(super) fn counts(changeset: &Item, now: Timestamp) -> bool {
    item::to_number(changeset, KEY_EXPIRES_AT).unwrap_or(u64::MAX) > seconds(now)
}

/// The answer to a commit whose key is known now.
async fn known(
    table: &Table,
    index: &str,
    or_items: bool,
    commit: &Commit,
    key: &IdempotencyKey,
) -> Result<Option<Committed>> {
    // An expired key may be that of a later commit again. The last one counts.
    if let Some(last) = last_with(table, index, commit, key).await? {
        let changeset = table.get(item::key(commit.stream_id.as_str(), last)).await?.unwrap_or_default();
        if has_key(&changeset, commit, key) && counts(&changeset, table.clock.now()) {
            return answer_of_changeset(&changeset, commit).map(Some);
        }
    }
    if !or_items {
        return Ok(None);
    }
    // Nobody writes such items any more, so a plain read will do.
    let marker = table.get(key_of(&commit.stream_id, key)).await?;
    marker.map(|marker| answer(&marker, commit)).transpose()
}

/// The last changeset of the stream with this key, as the local index has it at this moment.
async fn last_with(table: &Table, index: &str, commit: &Commit, key: &IdempotencyKey) -> Result<Option<u64>> {
    let (mut last, mut from) = (None, None);
    loop {
        let query = || {
            let call = table.client.query().table_name(&*table.name).index_name(index).consistent_read(true);
            let call = call.key_condition_expression("#s = :s AND #k = :k");
            let call = call.set_expression_attribute_names(names([("#s", STREAM_ID), ("#k", KEY_DIGEST)]));
            let call = call.set_expression_attribute_values(values([
                (":s", text(commit.stream_id.as_str())),
                (":k", bytes(key.digest(&commit.stream_id).to_vec())),
            ]));
            call.set_exclusive_start_key(from.clone()).send()
        };
        let answer = table.call(query).await.map_err(failed)?;
        for entry in answer.items.iter().flatten() {
            last = last.max(Some(item::to_number(entry, CHANGESET_ID)?));
        }
        from = answer.last_evaluated_key;
        if from.is_none() {
            return Ok(last);
        }
    }
}

fn digest(commit: &Commit) -> Vec<u8> {
    digest_of(commit.events.as_stored(), commit.metadata().as_str())
}

/// No JSON text holds the zero byte between the two.
fn digest_of(events: &str, metadata: &str) -> Vec<u8> {
    Sha256::new_with_prefix(events).chain_update([0]).chain_update(metadata).finalize().to_vec()
}

/// Checks the idempotency keys in a table. One in a changeset says until when it counts, and no other of its stream
/// has the same one for that time. One that is an item: the changeset that it became is there, with the same body.
/// It reads the whole table at half a read unit for 4 KB, and twice if there are items of keys.
///
/// # Errors
/// As for [`Store::open`](super::Store::open).
pub async fn check_keys(config: impl Into<Config>, table: &str) -> Result<KeyCheck> {
    let (table, _) = Table::find(config, table, Options::default().patience).await?;
    let (mut check, mut items, mut in_changesets) = (KeyCheck::default(), HashMap::new(), HashMap::new());
    let now = seconds(table.clock.now());
    let prefix = format!("{}{PREFIX}", StreamId::RESERVED_PREFIX);
    table
        .scan(|found| {
            if let Some(key) = item::to_text(found, STREAM_ID)?.strip_prefix(&prefix) {
                check_item(&mut check, &mut items, key, found, now);
            } else if let Some(digest) = attribute(found, KEY_DIGEST) {
                check_changeset(&mut check, &mut in_changesets, digest.to_vec(), found, now)?;
            }
            Ok(())
        })
        .await?;
    if items.is_empty() {
        return Ok(check);
    }
    // Keys first: what is committed meanwhile is no fault.
    table
        .scan(|changeset| {
            let known = attribute(changeset, COMMIT_ID).filter(|_| !item::is_reserved(changeset));
            let Some(Remembered { key, body, stored_as }) = known.and_then(|id| items.remove(id)) else { return Ok(()) };
            let changeset_id = item::to_number(changeset, CHANGESET_ID)?;
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
    for Remembered { key, stored_as, .. } in items.into_values() {
        check.fault(|| format!("the key {key} became changeset {stored_as} of a stream, which is not there"));
    }
    Ok(check)
}

fn attribute<'a>(item: &'a Item, name: &str) -> Option<&'a [u8]> {
    item.get(name)?.as_b().ok().map(AsRef::as_ref)
}

/// Looks at the item of a key, and keeps what it tells.
fn check_item(
    check: &mut KeyCheck,
    keys: &mut HashMap<Vec<u8>, Remembered>,
    key: &str,
    marker: &Item,
    now: u64,
) {
    check.keys += 1;
    check.expired += u64::from(item::to_number(marker, EXPIRES_AT).is_ok_and(|at| at <= now));
    match (attribute(marker, COMMIT_ID), attribute(marker, BODY), item::to_number(marker, STORED_AS)) {
        (Some(commit_id), Some(body), Ok(stored_as)) => {
            let (key, body) = (key.to_owned(), body.to_vec());
            keys.insert(commit_id.to_vec(), Remembered { key, body, stored_as });
        }
        _ => check.fault(|| format!("the key {key} does not tell which changeset it became")),
    }
}

/// Looks at a changeset with a key, and keeps the key as long as it counts.
fn check_changeset(
    check: &mut KeyCheck,
    keys: &mut HashMap<Vec<u8>, u64>,
    digest: Vec<u8>,
    changeset: &Item,
    now: u64,
) -> Result<()> {
    check.keys += 1;
    let id = item::to_number(changeset, CHANGESET_ID)?;
    let key = hex::encode(&digest);
    match item::to_number(changeset, KEY_EXPIRES_AT) {
        Ok(expires_at) if expires_at <= now => check.expired += 1,
        Ok(_) => {
            if let Some(other) = keys.insert(digest, id) {
                check.fault(|| {
                    format!("the key {key} became changeset {other} and changeset {id} of a stream")
                });
            }
        }
        Err(_) => {
            check.fault(|| format!("the key {key} of changeset {id} does not tell until when it counts"));
        }
    }
    Ok(())
}

/// What an item of a key tells.
struct Remembered {
    key: String,
    body: Vec<u8>,
    stored_as: u64,
}
