//! A transaction that is a buffer. The commit writes it, whole or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, KeysAndAttributes, Put, TransactWriteItem};
use backon::Retryable;
use uuid::Uuid;

use super::error::{Error, cancelled};
use super::item::{self, Item, KEY, PARTITION};
use super::unprocessed::{self, Rounds};
use super::{ACTIONS_MAX, BYTES_MAX, Database};
use crate::database::TooLarge;
use crate::error::BoxError;
use crate::projection_state::Position;
use crate::read_model_id::{ReadModelId, Slot};

/// The most keys in one call of `BatchGetItem`.
const KEYS_MAX: usize = 100;

/// A transaction on a DynamoDB table of read models.
///
/// Nothing is written before the commit, which is one `TransactWriteItems`: at most 100 items and 4 MB, the
/// projection's row among them. Reads see the staged writes of this transaction. If somebody else changes in
/// the meantime what this transaction has read, the projection's row has changed too, and the commit fails.
///
/// The same projection builds a standby and a scratch read model. Its tables then have rows of their own. So write
/// rows with [`write_row`](Tx::write_row): [`write`](Tx::write) is refused there.
pub struct Tx {
    pub(super) database: Database,
    /// The read model whose tables these are. `None`: live ones.
    pub(super) model: Option<ReadModelId>,
    /// Whether rows that are locked are fenced off, so that a worker that is at a step must read them again.
    pub(super) fences_off: bool,
    staged: BTreeMap<Key, Staged>,
    /// What must be true of items that the transaction may leave as they are.
    expected: BTreeMap<Key, Condition>,
    /// Writes of the projection itself, to any table.
    others: Vec<TransactWriteItem>,
    bytes: usize,
    /// Where tables are, as this transaction read it first.
    places: BTreeMap<Key, Option<Item>>,
    /// Where timers are, as this transaction read it first.
    pub(super) timer_pointers: BTreeMap<String, Option<Item>>,
}

/// Partition key and sort key.
type Key = (String, String);

struct Staged {
    /// The whole item; `None` deletes it.
    item: Option<Item>,
    condition: Option<Condition>,
}

/// What must be true of the stored item, or the commit fails.
#[derive(Clone, Copy)]
pub(super) enum Condition {
    Absent,
    StandsAt(Position),
    /// Nobody has fenced the row off since.
    HasEpoch(u64),
    /// Of an effect or a timer: nobody has written it since it was read.
    IsWriting(Uuid),
}

impl Tx {
    pub(super) fn new(database: Database, model: Option<ReadModelId>) -> Self {
        Self {
            database,
            model,
            fences_off: false,
            staged: BTreeMap::new(),
            expected: BTreeMap::new(),
            others: Vec::new(),
            bytes: 0,
            places: BTreeMap::new(),
            timer_pointers: BTreeMap::new(),
        }
    }

    /// Adds your own write to any table to the transaction. It counts towards the 100 items, and an item may
    /// be written once only. A condition that does not hold is treated as a conflict with another worker: the
    /// batch is retried.
    ///
    /// # Errors
    /// When the transaction has no room: return the error, and the batch is retried in smaller portions. In a read
    /// model that is built beside the live one: the item would be the live one's.
    pub fn write(&mut self, action: TransactWriteItem) -> Result<(), BoxError> {
        if self.model.as_ref().is_some_and(|model| model.slot() != Slot::Live) {
            return Err("the projection writes an item with `Tx::write`, and a read model that is built beside the live \
                        one must leave that item alone: rebuild in place, or write it with `Tx::write_row`"
                .into());
        }
        self.others.push(action);
        self.check_room()
    }

    /// Reads an item, with the staged writes of this transaction, as [`get_settled`](Self::get_settled) does.
    pub(super) async fn get(&self, partition: &str, key: &str) -> Result<Option<Item>, BoxError> {
        Ok(self.get_settled(partition, &[key]).await?.pop().flatten())
    }

    /// Reads an item, with the staged writes of this transaction. Other items of the transaction that has written it
    /// may not be there yet.
    pub(super) async fn get_alone(&self, partition: &str, key: &str) -> Result<Option<Item>, BoxError> {
        if let Some(staged) = self.staged_at(partition, key) {
            return Ok(staged.item.clone());
        }
        Ok(self.database.get(partition, key).await?)
    }

    /// Reads an item that says where a table is, once only.
    pub(super) async fn get_place(&mut self, partition: &str, key: &str) -> Result<Option<Item>, BoxError> {
        let id = (partition.to_owned(), key.to_owned());
        if let Some(known) = self.places.get(&id).filter(|_| !self.staged.contains_key(&id)) {
            return Ok(known.clone());
        }
        let found = self.get(partition, key).await?;
        self.places.insert(id, found.clone());
        Ok(found)
    }

    /// Reads many items of one partition, in the order of `keys`.
    pub(super) async fn get_all(
        &self,
        partition: &str,
        keys: &[&str],
    ) -> Result<Vec<Option<Item>>, BoxError> {
        let mut found = BTreeMap::new();
        for keys in self.unstaged(partition, keys).chunks(KEYS_MAX) {
            let mut left: Vec<Item> = keys.iter().map(|key| item::key(partition, key)).collect();
            let mut rounds = Rounds::new();
            while !left.is_empty() {
                let before = left.len();
                let (items, unprocessed) = self.some(left).await?;
                for item in items {
                    found.insert(item::to_text(&item, KEY)?.to_owned(), item);
                }
                left = unprocessed;
                rounds.next(before, left.len()).await?;
            }
        }
        Ok(self.with_staged(partition, keys, &found))
    }

    /// As [`get_all`](Self::get_all), but each item as no transaction leaves it behind that is under way.
    ///
    /// Another worker's transaction may have moved the projection's row, as this worker has seen, and be about to write
    /// the items that go with it. A plain read returns those as they were before, and what is made from them would undo
    /// the other worker's. A transaction that reads is refused until the other one has ended.
    pub(super) async fn get_settled(
        &self,
        partition: &str,
        keys: &[&str],
    ) -> Result<Vec<Option<Item>>, BoxError> {
        let unstaged = self.unstaged(partition, keys);
        let mut found = BTreeMap::new();
        let mut left: Vec<_> = unstaged.chunks(KEYS_MAX).collect();
        while let Some(keys) = left.pop() {
            let wanted: Vec<_> = keys.iter().map(|key| (partition, *key)).collect();
            let read = || self.database.get_all_together(&wanted);
            match read.retry(unprocessed::pauses()).when(Error::is_contended).await {
                Ok(items) => {
                    let items = keys.iter().zip(items);
                    found.extend(items.filter_map(|(key, item)| Some(((*key).to_owned(), item?))));
                }
                // More than the 4 MB that one transaction reads.
                Err(error) if keys.len() > 1 && !error.passes() => {
                    left.extend(<[_; 2]>::from(keys.split_at(keys.len() / 2)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.with_staged(partition, keys, &found))
    }

    fn staged_at(&self, partition: &str, key: &str) -> Option<&Staged> {
        self.staged.get(&(partition.to_owned(), key.to_owned()))
    }

    /// The keys that this transaction does not write, each once: a call may contain each key once only.
    fn unstaged<'k>(&self, partition: &str, keys: &[&'k str]) -> Vec<&'k str> {
        let keys = keys.iter().copied().filter(|key| self.staged_at(partition, key).is_none());
        Vec::from_iter(keys.collect::<BTreeSet<_>>())
    }

    /// The items in the order of `keys`: those that this transaction writes, and those that were found.
    fn with_staged(
        &self,
        partition: &str,
        keys: &[&str],
        found: &BTreeMap<String, Item>,
    ) -> Vec<Option<Item>> {
        let item = |key: &&str| match self.staged_at(partition, key) {
            Some(staged) => staged.item.clone(),
            None => found.get(*key).cloned(),
        };
        keys.iter().map(item).collect()
    }

    async fn some(&self, keys: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>), BoxError> {
        let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build()?;
        let call = self.database.client.batch_get_item().request_items(&*self.database.table, request);
        let answer = Box::pin(call.send()).await.map_err(Error::of)?;
        let found = answer.responses.into_iter().flatten().flat_map(|(_, items)| items).collect();
        let left = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys).collect();
        Ok((found, left))
    }

    /// The staged writes in a partition: the key and the item, or `None` for a deletion.
    pub(super) fn staged_in<'a>(
        &'a self,
        partition: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<&'a Item>)> + 'a {
        let first = (partition.to_owned(), String::new());
        let of_partition = self.staged.range(first..).take_while(move |((it, _), _)| it == partition);
        of_partition.map(|((_, key), staged)| (key.as_str(), staged.item.as_ref()))
    }

    /// Items of a partition, ascending by key, with the staged writes.
    pub(super) async fn query(&self, partition: &str, limit: usize) -> Result<Vec<Item>, BoxError> {
        self.query_between(partition, "", None, limit, true).await
    }

    /// As [`Database::query`](super::Database::query), with the staged writes.
    pub(super) async fn query_between(
        &self,
        partition: &str,
        begin: &str,
        until: Option<&str>,
        limit: usize,
        ascending: bool,
    ) -> Result<Vec<Item>, BoxError> {
        let is_wanted = |key: &str| key.starts_with(begin) && until.is_none_or(|until| key < until);
        let staged: Vec<_> = self.staged_in(partition).filter(|(key, _)| is_wanted(key)).collect();
        let enough = limit.saturating_add(staged.len());
        let stored = self.database.query(partition, begin, until, enough, ascending).await?;
        let mut items = BTreeMap::new();
        for item in stored {
            items.insert(item::to_text(&item, KEY)?.to_owned(), item);
        }
        for (key, item) in staged {
            match item {
                Some(item) => items.insert(key.to_owned(), item.clone()),
                None => items.remove(key),
            };
        }
        let items = items.into_values();
        Ok(if ascending { items.take(limit).collect() } else { items.rev().take(limit).collect() })
    }

    /// Stages the write of an item, or its deletion.
    pub(super) fn stage(&mut self, partition: &str, key: &str, item: Option<Item>) -> Result<(), BoxError> {
        self.stage_if(partition, key, item, None)
    }

    /// As [`stage`](Self::stage), with a condition. An item that was staged before keeps its first condition.
    pub(super) fn stage_if(
        &mut self,
        partition: &str,
        key: &str,
        item: Option<Item>,
        condition: Option<Condition>,
    ) -> Result<(), BoxError> {
        let item = item.map(|mut item| {
            item.extend(item::key(partition, key));
            item
        });
        self.bytes += item.as_ref().map_or(0, item::size_bytes);
        let key = (partition.to_owned(), key.to_owned());
        let condition = self.staged.get(&key).map_or(condition, |before| before.condition);
        let before = self.staged.insert(key, Staged { item, condition });
        self.bytes -= before.and_then(|before| before.item).as_ref().map_or(0, item::size_bytes);
        self.check_room()
    }

    /// Lets the commit fail unless this is true of an item, also if the transaction does not write it.
    pub(super) fn expect(&mut self, partition: &str, key: &str, condition: Condition) {
        self.expected.insert((partition.to_owned(), key.to_owned()), condition);
    }

    /// The write units of the commit: two for each KiB that it begins of an item.
    pub(super) fn units(&self) -> u64 {
        let of_item = |staged: &Staged| staged.item.as_ref().map_or(1, item::size_bytes).div_ceil(1024);
        let staged: usize = self.staged.values().map(of_item).sum();
        let checked = self.expected.keys().filter(|key| !self.staged.contains_key(*key)).count();
        2 * (staged + checked + self.others.len()) as u64
    }

    /// What was expected of an item so far.
    pub(super) fn expected_of(&self, partition: &str, key: &str) -> Option<Condition> {
        self.expected.get(&(partition.to_owned(), key.to_owned())).copied()
    }

    /// Returns `true` if this transaction writes the item.
    pub(super) fn is_staged(&self, partition: &str, key: &str) -> bool {
        self.staged_at(partition, key).is_some()
    }

    fn check_room(&self) -> Result<(), BoxError> {
        let expected = self.expected.keys().filter(|key| !self.staged.contains_key(*key)).count();
        if self.staged.len() + self.others.len() + expected > ACTIONS_MAX {
            let why =
                format!("it changes more than {ACTIONS_MAX} items, the most of a transaction on DynamoDB");
            return Err(TooLarge(why).into());
        }
        if self.bytes > BYTES_MAX {
            return Err(
                TooLarge("it writes more than the 4 MB of a transaction on DynamoDB".to_owned()).into()
            );
        }
        Ok(())
    }

    pub(super) async fn write_all(self) -> Result<(), BoxError> {
        let Self { database, staged, mut expected, others, .. } = self;
        if staged.is_empty() && others.is_empty() {
            return Ok(());
        }
        expected.retain(|key, _| !staged.contains_key(key));
        let mut actions = Vec::with_capacity(staged.len() + others.len() + expected.len());
        for ((partition, key), expected) in expected {
            actions.push(check(&database.table, &partition, &key, expected)?);
        }
        for ((partition, key), staged) in staged {
            actions.push(action(&database.table, &partition, &key, staged)?);
        }
        actions.extend(others);
        // DynamoDB recognizes a repeated call by its token, if the first answer was lost.
        let call = database.client.transact_write_items().client_request_token(Uuid::new_v4().to_string());
        Box::pin(call.set_transact_items(Some(actions)).send()).await.map(drop).map_err(cancelled)
    }
}

fn action(table: &str, partition: &str, key: &str, staged: Staged) -> Result<TransactWriteItem, BoxError> {
    let (condition, names, values) = staged.condition.map_or_else(Default::default, condition);
    let Some(item) = staged.item else {
        let delete = Delete::builder().table_name(table).set_key(Some(item::key(partition, key)));
        let delete = delete.set_condition_expression(condition).set_expression_attribute_names(names);
        let delete = delete.set_expression_attribute_values(values).build()?;
        return Ok(TransactWriteItem::builder().delete(delete).build());
    };
    let put = Put::builder().table_name(table).set_item(Some(item)).set_condition_expression(condition);
    let put = put.set_expression_attribute_names(names).set_expression_attribute_values(values);
    Ok(TransactWriteItem::builder().put(put.build()?).build())
}

fn check(
    table: &str,
    partition: &str,
    key: &str,
    expected: Condition,
) -> Result<TransactWriteItem, BoxError> {
    let (expression, names, values) = condition(expected);
    let check = ConditionCheck::builder().table_name(table).set_key(Some(item::key(partition, key)));
    let check = check.set_condition_expression(expression).set_expression_attribute_names(names);
    let check = check.set_expression_attribute_values(values).build()?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}

/// The expression of a condition, with its names and its values.
type Expression = (Option<String>, Option<HashMap<String, String>>, Option<Item>);

fn condition(condition: Condition) -> Expression {
    let (expression, names, values) = match condition {
        Condition::Absent => ("attribute_not_exists(#p)", vec![("#p", PARTITION)], None),
        Condition::IsWriting(writing) => {
            let values = item::item_of([(":w", item::text(writing.to_string()))]);
            ("#w = :w", vec![("#w", item::WRITING)], Some(values))
        }
        Condition::HasEpoch(epoch) => {
            let values = item::item_of([(":e", item::number(epoch))]);
            ("#e = :e", vec![("#e", item::EPOCH)], Some(values))
        }
        Condition::StandsAt(position) => {
            let values = item::item_of([
                (":c", item::number(position.next.get())),
                (":e", item::number(position.epoch)),
            ]);
            let names = vec![("#c", item::CHECKPOINT), ("#e", item::EPOCH)];
            ("#c = :c AND #e = :e", names, Some(values))
        }
    };
    let names = names.into_iter().map(|(short, name)| (short.to_owned(), name.to_owned())).collect();
    (Some(expression.to_owned()), Some(names), values)
}
