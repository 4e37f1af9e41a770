//! Moves a log into a table of the newest format, with its order, its keys and its id.
//!
//! The log is moved before it is copied: one transaction marks the old table and takes its counter away, so that no
//! indexer gives a place there any more. The new table becomes a log last, in one transaction. In between, neither is a
//! log that can be opened: what will be the counter of the new table says how far it has come.
//!
//! An item is only written where there is none, but for what can only go forward: the head of a typed stream, and a
//! changeset that was read before it had its place. So what a process that was thought dead writes late is there
//! already, as a rule, or comes from the old table at least, which gives out no place any more.

use std::time::Duration;

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::counter::{self, Counter};
use super::error::{failed, refused, unbuilt};
use super::holes::Holes;
use super::identity;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID, number, text};
use super::keys;
use super::moved::{self, FROM, MOVED_TO};
use super::options::Options;
use super::place::{self, PAGE, PAGE_ITEM};
use super::scan;
use super::table::{Table, values};
use super::table_format::TableFormat;
use crate::{Checkpoint, Error, Result, StreamId};

/// Names the process that copies. One that another has relieved stops.
const RUN: &str = "run";
const SUM: &str = "sum";
const CHANGESETS: &str = "changesets";
const IS_COPIED: &str = "is_copied";

/// Calls that write at the same time.
const CALLS_AT_ONCE: usize = 64;
/// By then a transaction has written all that it writes. It takes some 25 ms.
const SETTLES: Duration = Duration::from_secs(1);
/// How often what was copied is compared, while the old table goes on changing.
const ATTEMPTS: usize = 3;

/// What a migration did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Migrated {
    /// Whether an earlier call has come to the end.
    pub is_known: bool,
    /// The number of changesets in the log. 0 if `is_known`.
    pub changesets: u64,
    /// The number of items that this call has written.
    pub written: u64,
    /// The read capacity units that this call has consumed.
    pub read_units: f64,
}

/// Moves the log of one table into another one of the same account and region, which is empty and of the newest
/// [`TableFormat`]: changesets with their checkpoints and times, idempotency keys, holes, and the log's id. Readers,
/// projections and clients go on in the new table where they were. [`create_table`](super::create_table) creates it.
///
/// Stop everything that commits to the log first, and let its indexer come to its end. From the first moment on, the
/// old table gives out no place any more, and refuses to be opened as a log; its items stay. Start the programs again on
/// the new table.
///
/// It reads the old table twice with consistent reads, at one read unit for 4 KB each, and writes each item by itself
/// (for 500 bytes with its entries: 3 or 4 write units). It reports the number of changesets so far to `told`. If
/// interrupted, call it again: it continues where it was. [`cancel_migration`] gives the old table back.
///
/// A commit that something sends to the old table nevertheless comes along, as long as the two tables were not
/// compared. Later it stays there, answered as stored, and is not in the log. So what commits must be stopped first.
///
/// The stream of changes of the new table has a record of each item. The functions of the stack know a changeset that
/// comes with its place, and do not publish it again.
///
/// # Errors
/// [`Error::InvalidRequest`] when one of the tables can't be used, the first holds no log (one of another system is
/// adopted first), the other one is not empty or not of the newest format, another process has taken over, or
/// something still commits to the old table. [`Error::Overloaded`] and [`Error::Unavailable`]: call it again.
///
/// # Cancellation
/// Safe. Call it again.
pub async fn migrate(
    config: impl Into<Config>,
    from: &str,
    to: &str,
    mut told: impl FnMut(u64) + Send,
) -> Result<Migrated> {
    let (from, to) = find(config, from, to).await?;
    if to.format != TableFormat::default() {
        return Err(Error::InvalidRequest(format!(
            "the table {:?} is of format {}; move the log into a new one of format {}",
            to.name,
            to.format,
            TableFormat::default()
        )));
    }
    let log = log_item(&from).await?;
    let moved_to = item::to_text(&log, MOVED_TO).ok();
    if let Some(other) = moved_to.filter(|other| **other != *to.name) {
        return Err(moved::moved(other));
    }
    if let Some(known) = to.get(identity::key()).await? {
        let same = |item: &Item| item::to_text(item, identity::LOG_ID).map(str::to_owned);
        if moved_to.is_some() && same(&known)? == same(&log)? {
            return Ok(Migrated { is_known: true, ..Migrated::default() });
        }
        return Err(Error::InvalidRequest(format!(
            "the table {:?} holds a log already; move into a new table",
            to.name
        )));
    }
    if moved_to.is_none() {
        // A log of a newer version is left alone.
        identity::find(&from).await?;
    }
    let holes = identity::holes(&from, &identity::read(&from, &identity::as_own(log))?).await?;
    let mut migration = Migration::begin(&from, &to, holes).await?;
    let next = migration.freeze().await?;
    for _ in 0..ATTEMPTS {
        migration.copy(&mut told).await?;
        if migration.is_complete().await? {
            migration.finish(next).await?;
            return Ok(migration.done);
        }
        migration.begin_anew();
    }
    Err(Error::InvalidRequest(format!(
        "something still commits to the table {:?}; stop it, and migrate again",
        from.name
    )))
}

/// Gives up a migration that has not come to its end: the old table is the log again. Delete the new one.
///
/// # Errors
/// [`Error::InvalidRequest`] when no migration between these tables is under way.
///
/// # Cancellation
/// Safe. Call it again.
pub async fn cancel_migration(config: impl Into<Config>, from: &str, to: &str) -> Result<()> {
    let (from, to) = find(config, from, to).await?;
    let log = log_item(&from).await?;
    let is_frozen = item::to_text(&log, MOVED_TO).is_ok_and(|name| *name == *to.name);
    let known = to.get(counter::key()).await?;
    let is_claimed = known.as_ref().is_some_and(|known| is_from(known, &from));
    if !is_claimed && (known.is_some() || !is_frozen) {
        return Err(too_late(&from, &to));
    }
    if is_claimed {
        let delete = Delete::builder().table_name(&*to.name).set_key(Some(counter::key()));
        let delete = delete.condition_expression("#f = :f").expression_attribute_names("#f", FROM);
        let delete = delete.expression_attribute_values(":f", text(&*from.name)).build().map_err(unbuilt)?;
        // A process that is at it can't begin, go on or come to the end any more.
        match to.transact(&[TransactWriteItem::builder().delete(delete).build()]).await {
            Ok(()) => {}
            Err(error) if refused(&error).is_some() => return Err(too_late(&from, &to)),
            Err(error) => return Err(failed(error)),
        }
    }
    thaw(&from, &to).await
}

fn is_from(counter: &Item, from: &Table) -> bool {
    item::to_text(counter, FROM).is_ok_and(|name| *name == *from.name)
}

fn too_late(from: &Table, to: &Table) -> Error {
    Error::InvalidRequest(format!(
        "no migration from {:?} to {:?} is under way; one that has come to its end can't be cancelled",
        from.name, to.name
    ))
}

async fn find(config: impl Into<Config>, from: &str, to: &str) -> Result<(Table, Table)> {
    if from == to {
        return Err(Error::InvalidRequest("give two tables: a log can't be moved onto itself".to_owned()));
    }
    let (config, patience) = (config.into(), Options::default().patience);
    let (from, _) = Table::find(config.clone(), from, patience).await?;
    let (to, _) = Table::find(config, to, patience).await?;
    Ok((from, to))
}

/// The item that names the log.
async fn log_item(table: &Table) -> Result<Item> {
    table.get(identity::key()).await?.ok_or_else(|| {
        Error::InvalidRequest(format!(
            "the table {:?} holds no log; one of another system is adopted first, with `ees dynamodb adopt`",
            table.name
        ))
    })
}

/// Makes the old table a log again, if it is none.
async fn thaw(from: &Table, to: &Table) -> Result<()> {
    let [found] = from.get_settled([counter::key()]).await?;
    let Some(found) = found else { return Ok(()) };
    let Some(next) = counter::moved_at(&found, &to.name) else { return Ok(()) };
    let counter = Put::builder().table_name(&*from.name).set_item(Some(counter::back(from, found, next)));
    let counter = counter.condition_expression("#m = :m").expression_attribute_names("#m", MOVED_TO);
    let counter = counter.expression_attribute_values(":m", text(&*to.name)).build().map_err(unbuilt)?;
    let unclaimed = check(to, counter::key(), "attribute_not_exists(#n)", STREAM_ID, None)?;
    let log = identity::not_moved(from)?;
    if replace_counter(from, log, counter, unclaimed).await? {
        return Ok(());
    }
    let [found] = from.get_settled([counter::key()]).await?;
    match found.and_then(|found| counter::moved_at(&found, &to.name)) {
        None => Ok(()),
        Some(_) => Err(Error::InvalidRequest(format!(
            "another process moves the log of {:?} to {:?} again; stop it, and cancel once more",
            from.name, to.name
        ))),
    }
}

/// Changes the item that names the log, and replaces the counter, if the other table is as it should be. Whether all
/// conditions held.
async fn replace_counter(table: &Table, log: Update, counter: Put, other: TransactWriteItem) -> Result<bool> {
    let log = TransactWriteItem::builder().update(log).build();
    let counter = TransactWriteItem::builder().put(counter).build();
    match table.transact(&[log, counter, other]).await {
        Ok(()) => Ok(true),
        Err(error) if refused(&error).is_some() => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Holds in a transaction if the condition on the attribute `#n`, with the value `:v`, does.
fn check(
    table: &Table,
    key: Item,
    condition: &str,
    name: &str,
    value: Option<&str>,
) -> Result<TransactWriteItem> {
    let check = ConditionCheck::builder().table_name(&*table.name).set_key(Some(key));
    let check = check.condition_expression(condition).expression_attribute_names("#n", name);
    let check = check.set_expression_attribute_values(value.and_then(|value| values([(":v", text(value))])));
    Ok(TransactWriteItem::builder().condition_check(check.build().map_err(unbuilt)?).build())
}

/// Whether a write was made, or its condition did not hold.
fn held<T>(written: Result<T, SdkError<PutItemError>>) -> Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(error)
            if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) =>
        {
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The items of a table, as far as they were copied: how many changesets, and a sum over which they are and where they
/// stand. It does not depend on the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    changesets: u64,
    sum: u64,
}

impl Content {
    /// Keys don't count: DynamoDB removes those whose time has come, and one that is new comes with a changeset.
    fn add(&mut self, found: &Item) {
        if item::to_text(found, STREAM_ID).is_ok_and(keys::is_item) {
            return;
        }
        let names = [STREAM_ID, CHANGESET_ID, PAGE, PAGE_ITEM, item::UPDATED_AT];
        let told = names.map(|name| found.get(name).map(|value| format!("{value:?}")).unwrap_or_default());
        let digest = Sha256::digest(told.join("\n"));
        let (first, _) = digest.as_chunks::<8>();
        self.sum = self.sum.wrapping_add(first.first().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
        self.changesets += u64::from(!item::is_reserved(found));
    }
}

/// A migration that this process carries on.
struct Migration<'a> {
    from: &'a Table,
    to: &'a Table,
    /// Places of the old table that no changeset has.
    holes: Holes,
    run: String,
    at: Option<Item>,
    is_copied: bool,
    copied: Content,
    done: Migrated,
}

impl<'a> Migration<'a> {
    /// Claims the new table, or takes over from the process that was at it.
    async fn begin(from: &'a Table, to: &'a Table, holes: Holes) -> Result<Self> {
        let mut migration = Self {
            from,
            to,
            holes,
            run: Uuid::new_v4().to_string(),
            at: None,
            is_copied: false,
            copied: Content::default(),
            done: Migrated::default(),
        };
        let occupied = |by: &str| {
            Err(Error::InvalidRequest(format!("the table {:?} {by}; move into a new table", to.name)))
        };
        let Some(known) = to.get(counter::key()).await? else {
            if !identity::is_empty(to).await? {
                return occupied("is not empty");
            }
            // A log has a counter from its first moment on.
            return match migration.save(None).await? {
                true => Ok(migration),
                false => Err(migration.relieved()),
            };
        };
        if !is_from(&known, from) {
            return occupied("has the counter of another log");
        }
        migration.at = scan::position(&known);
        migration.is_copied = known.contains_key(IS_COPIED);
        migration.copied =
            Content { changesets: item::to_number(&known, CHANGESETS)?, sum: item::to_number(&known, SUM)? };
        match migration.save(Some(item::to_text(&known, RUN)?)).await? {
            true => Ok(migration),
            false => Err(migration.relieved()),
        }
    }

    /// Marks the old table and takes its counter away, if that has not happened yet. Returns where the log ends.
    async fn freeze(&self) -> Result<Checkpoint> {
        let (from, to) = (self.from, self.to);
        loop {
            let found = from.get(counter::key()).await?;
            if let Some(next) = found.as_ref().and_then(|found| counter::moved_at(found, &to.name)) {
                // The last transaction that has moved the counter may be about to write its places.
                tokio::time::sleep(SETTLES).await;
                return Ok(next);
            }
            let before = Counter::found(from, found.as_ref())?;
            let is_there = found.is_some();
            let moved = counter::as_moved(found.unwrap_or_default(), &to.name, before.next());
            let counter = Counter::put(from, is_there.then_some(before), moved)?;
            let is_ours = check(to, counter::key(), "#n = :v", RUN, Some(&self.run))?;
            if !replace_counter(from, identity::moved_to(from, &to.name)?, counter, is_ours).await? {
                // Either the counter has moved, or another process is at it.
                self.go_on().await?;
            }
        }
    }

    /// Copies what was not copied yet, as far as anybody knows.
    async fn copy(&mut self, told: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
        while !self.is_copied {
            let (items, next) = self.part(self.at.clone()).await?;
            let writes: Vec<_> = items.iter().map(|found| self.put(found)).collect();
            let written = futures::stream::iter(writes).buffer_unordered(CALLS_AT_ONCE);
            self.done.written +=
                written.try_fold(0, |all, one| async move { Ok(all + u64::from(one)) }).await?;
            items.iter().for_each(|found| self.copied.add(found));
            (self.at, self.is_copied) = (next.clone(), next.is_none());
            self.go_on().await?;
            told(self.copied.changesets);
        }
        Ok(())
    }

    /// Whether the old table holds what was copied, and nothing else.
    async fn is_complete(&mut self) -> Result<bool> {
        let (mut now, mut at) = (Content::default(), None);
        loop {
            let (items, next) = self.part(at).await?;
            items.iter().for_each(|found| now.add(found));
            at = next;
            if at.is_none() {
                self.done.changesets = now.changesets;
                return Ok(now == self.copied);
            }
        }
    }

    fn begin_anew(&mut self) {
        (self.at, self.is_copied, self.copied) = (None, false, Content::default());
    }

    /// A megabyte of the old table: what belongs to the log, and is not what only the old table is about.
    async fn part(&mut self, at: Option<Item>) -> Result<(Vec<Item>, Option<Item>)> {
        let part = scan::part(self.from, at.as_ref()).await?;
        self.done.read_units += part.read_units;
        let mut items = Vec::new();
        for found in part.items {
            let id = item::to_text(&found, STREAM_ID)?;
            let is_of_the_log = keys::is_item(id) || id.starts_with(identity::HOLES);
            let is_reserved = id.starts_with(StreamId::RESERVED_PREFIX);
            // A counter may be spelled as a place. It is there again if the migration was cancelled meanwhile.
            if is_reserved && id != counter::STREAM_ID {
                self.must_not_stand_in_the_order(&found)?;
            }
            if is_of_the_log || !is_reserved {
                items.push(found);
            }
        }
        Ok((items, part.next))
    }

    /// The indexer of another system may have given a place to an item of ours. Readers of the new table would wait
    /// there, unless it is known as a hole.
    fn must_not_stand_in_the_order(&self, found: &Item) -> Result<()> {
        match place::of(found, self.from.format).filter(|place| self.holes.skip(*place) == *place) {
            None => Ok(()),
            Some(place) => Err(Error::InvalidRequest(format!(
                "checkpoint {place} of the table {:?} was given to an item that is no changeset: cancel, run `ees dynamodb \
                 adopt {} --find-holes`, and migrate into a new table",
                self.from.name, self.from.name
            ))),
        }
    }

    /// Writes an item, unless it is there. Whether it was not. Two kinds of items change, and never go back: the head of a
    /// typed stream, and a changeset that gets its place.
    fn put(&self, found: &Item) -> impl Future<Output = Result<bool>> + Send + use<> {
        let (to, mut found) = (self.to.clone(), found.clone());
        let place = place::of(&found, self.from.format);
        if item::is_reserved(&found) {
            found.retain(|name, _| name != PAGE && name != PAGE_ITEM);
        } else if let Some(place) = place {
            found.extend(
                place::attributes(place, to.format).map(|(name, value)| (name.to_owned(), number(value))),
            );
        }
        async move {
            let put = || {
                let call = to.client.put_item().table_name(&*to.name).set_item(Some(found.clone()));
                let call = call.expression_attribute_names("#s", STREAM_ID);
                match found.get(item::HEAD_CHANGESET_ID) {
                    Some(head) => call
                        .condition_expression("attribute_not_exists(#s) OR #h < :h")
                        .expression_attribute_names("#h", item::HEAD_CHANGESET_ID)
                        .expression_attribute_values(":h", head.clone()),
                    None if found.contains_key(PAGE) => call
                        .condition_expression("attribute_not_exists(#s) OR attribute_not_exists(#p)")
                        .expression_attribute_names("#p", PAGE),
                    None => call.condition_expression("attribute_not_exists(#s)"),
                }
                .send()
            };
            held(to.call(put).await)
        }
    }

    /// Makes the new table the log.
    async fn finish(&self, next: Checkpoint) -> Result<()> {
        let log = identity::as_own(log_item(self.from).await?);
        let name = Put::builder().table_name(&*self.to.name).set_item(Some(log));
        let name =
            name.condition_expression("attribute_not_exists(#s)").expression_attribute_names("#s", STREAM_ID);
        let counter = Counter::start(self.to.format).at(next).item();
        let counter = Put::builder().table_name(&*self.to.name).set_item(Some(counter));
        let counter = counter.condition_expression("#r = :r").expression_attribute_names("#r", RUN);
        let counter = counter.expression_attribute_values(":r", text(&*self.run));
        let actions = [
            check(self.from, identity::key(), "#n = :v", MOVED_TO, Some(&self.to.name))?,
            TransactWriteItem::builder().put(name.build().map_err(unbuilt)?).build(),
            TransactWriteItem::builder().put(counter.build().map_err(unbuilt)?).build(),
        ];
        match self.to.transact(&actions).await {
            Ok(()) => Ok(()),
            // An answer that was lost.
            Err(error) if refused(&error).is_some() => match self.to.get_settled([identity::key()]).await? {
                [Some(_)] => Ok(()),
                [None] => Err(self.relieved()),
            },
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes down how far it has come, if this process is still the one.
    async fn go_on(&self) -> Result<()> {
        match self.save(Some(&self.run)).await? {
            true => Ok(()),
            false => Err(self.relieved()),
        }
    }

    /// The same after this run, or where there was none. Whether it was so.
    async fn save(&self, after: Option<&str>) -> Result<bool> {
        let mut item = counter::key();
        item.insert(FROM.to_owned(), text(&*self.from.name));
        item.insert(RUN.to_owned(), text(&*self.run));
        item.insert(CHANGESETS.to_owned(), number(self.copied.changesets));
        item.insert(SUM.to_owned(), number(self.copied.sum));
        scan::remember(&mut item, self.at.as_ref())?;
        if self.is_copied {
            item.insert(IS_COPIED.to_owned(), number(1));
        }
        let put = || {
            let call = self.to.client.put_item().table_name(&*self.to.name).set_item(Some(item.clone()));
            let call = call
                .expression_attribute_names("#r", RUN)
                .expression_attribute_values(":own", text(&*self.run));
            match after {
                Some(after) => call
                    .condition_expression("#r = :after OR #r = :own")
                    .expression_attribute_values(":after", text(after)),
                None => call
                    .condition_expression("attribute_not_exists(#s) OR #r = :own")
                    .expression_attribute_names("#s", STREAM_ID),
            }
            .send()
        };
        held(self.to.call(put).await)
    }

    fn relieved(&self) -> Error {
        Error::InvalidRequest(format!(
            "another process moves the log of {:?} to {:?}, or the migration was cancelled",
            self.from.name, self.to.name
        ))
    }
}
