//! Which log a table holds: its UUID, made with it, and the holes it had when it was adopted.

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use uuid::Uuid;

use super::counter::{self, Counter};
use super::error::{failed, refused, storage, unbuilt};
use super::holes::Holes;
use super::item::{self, Item, KEY_DIGEST, STREAM_ID, bytes, number, text};
use super::moved::{MOVED_TO, moved};
use super::place::{PAGE, PAGE_ITEM};
use super::table::{Table, names, values};
use crate::{Error, LogId, Result, Timestamp};

const LOG: &str = "!!!RESERVED:LOG!!!";
pub(super) const LOG_ID: &str = "log_id";
const MADE_AT: &str = "made_at";
/// Which version of this layout the table has. A larger one is of a newer version of this crate.
const VERSION: &str = "version";
const VERSION_NOW: u64 = 1;

/// Names the adoption whose holes count: several may have been begun, and one has come to its end first.
const ADOPTION: &str = "adoption";

/// Where idempotency keys are, if not in items of their own: known from the log's first commit on.
const KEYS_IN: &str = "keys_in";
const CHANGESETS: &str = "changesets";

/// Of a log that was moved to another table. Programs that do not know of moved logs refuse this version.
const VERSION_MOVED: u64 = 2;

/// In pieces, since an item has its limit; the adoption's name follows.
pub(super) const HOLES: &str = "!!!RESERVED:HOLES!!!";
const RANGES: &str = "ranges";
const RANGES_OF_PIECE: usize = 10_000;

/// What a table says of the log in it.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) log_id: LogId,
    adoption: Option<String>,
    keys_in_changesets: bool,
}

impl Identity {
    /// Whether another system has made the table.
    pub(super) fn is_adopted(&self) -> bool {
        self.adoption.is_some()
    }

    /// Whether no idempotency key of this log was ever an item of its own.
    pub(super) fn has_keys_in_changesets(&self) -> bool {
        self.keys_in_changesets
    }
}

/// The log's identity. A table that is empty gets one; one that is not has to be adopted first.
pub(super) async fn open(table: &Table) -> Result<Identity> {
    if let Some(known) = find(table).await? {
        return Ok(known);
    }
    if is_empty(table).await? && create(table, None, Counter::start(table.format).item(), None).await? {
        tracing::info!(table = &*table.name, "created a new log");
    }
    if let Some(known) = find_settled(table).await? {
        return Ok(known);
    }
    // One that is being moved here says so.
    counter::look(table).await?;
    Err(Error::InvalidRequest(format!(
        "the table {:?} holds changesets of another system; stop that system, then take the table over with `ees dynamodb \
         adopt`",
        table.name
    )))
}

/// The key of the item that names the log.
pub(super) fn key() -> Item {
    item::key(LOG, 0)
}

/// Notes that the log was moved to another table, unless it was.
pub(super) fn moved_to(table: &Table, to: &str) -> Result<Update> {
    let update =
        change_moved(table, "SET #m = :m, #v = :v", "attribute_exists(#s) AND attribute_not_exists(#m)");
    let update = update.expression_attribute_names("#s", STREAM_ID);
    let update = update.expression_attribute_values(":m", text(to));
    update.expression_attribute_values(":v", number(VERSION_MOVED)).build().map_err(unbuilt)
}

/// Notes that the log was not moved after all.
pub(super) fn not_moved(table: &Table) -> Result<Update> {
    let update = change_moved(table, "SET #v = :v REMOVE #m", "attribute_exists(#m)");
    update.expression_attribute_values(":v", number(VERSION_NOW)).build().map_err(unbuilt)
}

fn change_moved(table: &Table, change: &str, condition: &str) -> UpdateBuilder {
    let update = Update::builder().table_name(&*table.name).set_key(Some(key())).update_expression(change);
    let update = update.condition_expression(condition);
    update.expression_attribute_names("#m", MOVED_TO).expression_attribute_names("#v", VERSION)
}

/// The item of a log that was moved, as it is in the table that holds the log. The indexer of another system may have
/// given it a place.
pub(super) fn as_own(mut log: Item) -> Item {
    for name in [MOVED_TO, PAGE, PAGE_ITEM] {
        log.remove(name);
    }
    log.insert(VERSION.to_owned(), number(VERSION_NOW));
    log
}

/// The log's identity, if the table has one.
pub(super) async fn find(table: &Table) -> Result<Option<Identity>> {
    table.get(key()).await?.map(|found| read(table, &found)).transpose()
}

/// The same, also if another process is just giving the table one, and its counter is to be seen already.
pub(super) async fn find_settled(table: &Table) -> Result<Option<Identity>> {
    let [found] = table.get_settled([key()]).await?;
    found.map(|found| read(table, &found)).transpose()
}

/// What this item says of the log. It is checked whether the table can hold it.
pub(super) fn read(table: &Table, found: &Item) -> Result<Identity> {
    if let Ok(to) = item::to_text(found, MOVED_TO) {
        return Err(moved(to));
    }
    if item::to_number(found, VERSION)? > VERSION_NOW {
        let path = format!("the table {}", table.name).into();
        return Err(Error::NewerVersion { path });
    }
    let log_id = item::to_text(found, LOG_ID)?.parse::<Uuid>();
    let log_id = LogId(log_id.map_err(|_| storage("the log's id is not a UUID"))?);
    let adoption = item::to_text(found, ADOPTION).ok().map(str::to_owned);
    let keys_in_changesets = item::to_text(found, KEYS_IN).is_ok_and(|place| place == CHANGESETS);
    if keys_in_changesets && table.keys.is_none() {
        return Err(Error::InvalidRequest(format!(
            "the table {:?} lacks the local index over {KEY_DIGEST}, by which this log finds its idempotency keys, so a \
             repeated commit would be stored twice; if it was restored, restore it with all its local indexes",
            table.name
        )));
    }
    Ok(Identity { log_id, adoption, keys_in_changesets })
}

/// Names the log, and sets its counter, which has not moved from `before`. Whether it was this call that did:
/// the counter of a log that has its name is never set.
pub(super) async fn create(
    table: &Table,
    before: Option<Counter>,
    counter: Item,
    adoption: Option<&str>,
) -> Result<bool> {
    let mut log = key();
    log.insert(LOG_ID.to_owned(), text(Uuid::new_v4().to_string()));
    log.insert(MADE_AT.to_owned(), text(Timestamp::now().to_string()));
    log.insert(VERSION.to_owned(), number(VERSION_NOW));
    if table.keys.is_some() && adoption.is_none() {
        log.insert(KEYS_IN.to_owned(), text(CHANGESETS));
    }
    if let Some(adoption) = adoption {
        log.insert(ADOPTION.to_owned(), text(adoption));
    }
    let name = Put::builder().table_name(&*table.name).set_item(Some(log));
    let name =
        name.condition_expression("attribute_not_exists(#s)").expression_attribute_names("#s", STREAM_ID);
    let counter = Counter::put(table, before, counter)?;
    let actions = [name.build().map_err(unbuilt)?, counter];
    let actions = actions.map(|put| TransactWriteItem::builder().put(put).build());
    match table.transact(&actions).await {
        Ok(()) => Ok(true),
        Err(error) if refused(&error).is_some() => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Lets the holes that another scan has found count. Stores that are open see them when they are opened again.
pub(super) async fn replace_holes(table: &Table, adoption: &str) -> Result<()> {
    let update = table.client.update_item().table_name(&*table.name).set_key(Some(key()));
    let update = update.update_expression("SET #a = :a");
    let update = update.condition_expression("attribute_exists(#s) AND attribute_not_exists(#m)");
    let update =
        update.set_expression_attribute_names(names([("#a", ADOPTION), ("#s", STREAM_ID), ("#m", MOVED_TO)]));
    let update = update.set_expression_attribute_values(values([(":a", text(adoption))]));
    table.call(|| update.clone().send()).await.map(drop).map_err(failed)
}

pub(super) async fn is_empty(table: &Table) -> Result<bool> {
    let scan = || table.client.scan().table_name(&*table.name).consistent_read(true).limit(1).send();
    let found = table.call(scan).await.map_err(failed)?;
    Ok(found.items().is_empty())
}

/// Writes down the holes that an adoption has found. They count once the log says that it was this one.
pub(super) async fn save_holes(table: &Table, adoption: &str, holes: &Holes) -> Result<()> {
    for (at, ranges) in (1..).zip(holes.ranges().chunks(RANGES_OF_PIECE)) {
        let numbers = ranges.iter().flat_map(|(first, count)| [first.to_le_bytes(), count.to_le_bytes()]);
        let mut piece = item::key(&format!("{HOLES}{adoption}"), at);
        piece.insert(RANGES.to_owned(), bytes(numbers.flatten().collect::<Vec<u8>>()));
        let put = || table.client.put_item().table_name(&*table.name).set_item(Some(piece.clone())).send();
        table.call(put).await.map_err(failed)?;
    }
    Ok(())
}

/// The holes as they were written down.
pub(super) async fn holes(table: &Table, identity: &Identity) -> Result<Holes> {
    let mut ranges = Vec::new();
    let Some(adoption) = &identity.adoption else { return Ok(Holes::default()) };
    for piece in pieces(table, &format!("{HOLES}{adoption}")).await? {
        let Some(numbers) = piece.get(RANGES).and_then(|value| value.as_b().ok()) else { continue };
        let (pairs, _) = numbers.as_ref().as_chunks::<16>();
        for pair in pairs {
            let (numbers, _) = pair.as_chunks::<8>();
            let [first, count] = numbers else { continue };
            ranges.push((u64::from_le_bytes(*first), u64::from_le_bytes(*count)));
        }
    }
    Ok(Holes::new(ranges))
}

/// All items of a reserved partition, in order.
pub(super) async fn pieces(table: &Table, partition: &str) -> Result<Vec<Item>> {
    let mut found = Vec::new();
    let mut from = None;
    loop {
        let query = || {
            let call = table.client.query().table_name(&*table.name).consistent_read(true);
            let call = call.key_condition_expression("#s = :s");
            let call = call.set_expression_attribute_names(names([("#s", STREAM_ID)]));
            let call = call.set_expression_attribute_values(values([(":s", text(partition))]));
            call.set_exclusive_start_key(from.clone()).send()
        };
        let answer = table.call(query).await.map_err(failed)?;
        found.extend(answer.items.unwrap_or_default());
        from = answer.last_evaluated_key;
        if from.is_none() {
            return Ok(found);
        }
    }
}
