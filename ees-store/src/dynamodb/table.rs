//! The table, and the calls that are made on it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Get, KeysAndAttributes, TransactGetItem, TransactWriteItem};
use aws_sdk_dynamodb::{Client, Config};

use super::calls::{again, client, pauses};
use super::clock::ServiceClock;
use super::entry_bytes::EntryBytes;
use super::error::{failed, is_contended, is_passing, is_read_contended};
use super::item::{self, CHANGESET_ID, Item, STREAM_ID};
use super::place;
use super::schema::Layout;
use super::table_format::TableFormat;
use crate::{Result, StreamId};

/// Keys in one call of `BatchGetItem`, at most.
const KEYS_MAX: usize = 100;

/// A table with what is known of it. Clones share the connections.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: Arc<str>,
    /// The global index over the order; its name differs from table to table.
    pub(super) enumeration: Arc<str>,
    pub(super) last_event: Arc<str>,
    /// The local index over the digests of idempotency keys, if its format has one.
    pub(super) keys: Option<Arc<str>>,
    pub(super) format: TableFormat,
    pub(super) entry_bytes: Arc<EntryBytes>,
    /// The global index over the heads of typed streams; a table of another system may have none.
    pub(super) by_type: Option<Arc<str>>,
    pub(super) patience: Duration,
    pub(super) clock: ServiceClock,
}

impl Table {
    /// Looks at the table of that name.
    pub(super) async fn find(
        config: impl Into<Config>,
        name: &str,
        patience: Duration,
    ) -> Result<(Self, Layout)> {
        let clock = ServiceClock::default();
        let config: Config = config.into();
        let client = client(config.to_builder().interceptor(clock.clone()).build());
        let layout = Layout::of(&client, name).await?;
        let table = Self {
            client,
            name: name.into(),
            enumeration: layout.enumeration.as_str().into(),
            last_event: layout.last_event.as_str().into(),
            keys: layout.keys.as_deref().map(Into::into),
            format: layout.format,
            entry_bytes: Arc::default(),
            by_type: layout.by_type.as_deref().map(Into::into),
            patience,
            clock,
        };
        Ok((table, layout))
    }

    /// Makes a call, and makes it again while what is in the way may pass.
    pub(super) async fn call<T, E, F, Fut>(&self, call: F) -> Result<T, SdkError<E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata,
    {
        again(self.patience, call, is_passing).await
    }

    /// One attempt after the other at a transaction, until it is carried out, or a condition does not hold and
    /// no other transaction is in its way.
    pub(super) async fn transact(
        &self,
        actions: &[TransactWriteItem],
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        let send = || self.send(actions);
        again(self.patience, send, |error| is_passing(error) || is_contended(error)).await
    }

    /// The same, for who has something else to try when another transaction is in the way.
    pub(super) async fn transact_unless_contended(
        &self,
        actions: &[TransactWriteItem],
    ) -> Result<(), SdkError<TransactWriteItemsError>> {
        self.call(|| self.send(actions)).await
    }

    async fn send(&self, actions: &[TransactWriteItem]) -> Result<(), SdkError<TransactWriteItemsError>> {
        // A repeat is recognised by its conditions; a token would hold for ten minutes only.
        let call = self.client.transact_write_items().set_transact_items(Some(actions.to_vec()));
        call.send().await.map(drop)
    }

    /// An item as it is at this moment.
    pub(super) async fn get(&self, key: Item) -> Result<Option<Item>> {
        let get = || {
            let call = self.client.get_item().table_name(&*self.name).set_key(Some(key.clone()));
            call.consistent_read(true).send()
        };
        Ok(self.call(get).await.map_err(failed)?.item)
    }

    /// Items as no transaction leaves them behind that is under way, all as of one moment: a caller that has seen one item
    /// of a transaction sees the others too. A plain read may see those as they were before.
    pub(super) async fn get_settled<const N: usize>(&self, keys: [Item; N]) -> Result<[Option<Item>; N]> {
        let mut found = self.get_all_settled(&keys).await?.into_iter();
        Ok(std::array::from_fn(|_| found.next().flatten()))
    }

    /// The same, for at most 100 items, in the order of the keys.
    pub(super) async fn get_all_settled(&self, keys: &[Item]) -> Result<Vec<Option<Item>>> {
        let get = || self.try_get_settled(keys);
        let passes = |error: &SdkError<_>| is_passing(error) || is_read_contended(error);
        again(self.patience, get, passes).await.map_err(failed)
    }

    /// The same, or an error when a transaction is under way.
    pub(super) async fn try_get_settled(
        &self,
        keys: &[Item],
    ) -> Result<Vec<Option<Item>>, SdkError<TransactGetItemsError>> {
        let mut call = self.client.transact_get_items();
        for key in keys {
            let get = Get::builder().table_name(&*self.name).set_key(Some(key.clone())).build();
            let get = get.map_err(SdkError::construction_failure)?;
            call = call.transact_items(TransactGetItem::builder().get(get).build());
        }
        let found = call.send().await?.responses.unwrap_or_default();
        Ok(found.into_iter().map(|answer| answer.item.filter(|item| !item.is_empty())).collect())
    }

    /// Gives every item of the table to `look`.
    pub(super) async fn scan(&self, mut look: impl FnMut(&Item) -> Result<()> + Send) -> Result<()> {
        let mut from = None;
        loop {
            let scan =
                || self.client.scan().table_name(&*self.name).set_exclusive_start_key(from.clone()).send();
            let answer = self.call(scan).await.map_err(failed)?;
            answer.items().iter().try_for_each(&mut look)?;
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// The last changeset of a stream, as it is at this moment.
    pub(super) async fn last_of(&self, stream_id: &StreamId) -> Result<Option<Item>> {
        let query = || {
            let call = self.client.query().table_name(&*self.name).consistent_read(true);
            let call = call.key_condition_expression("#s = :s AND #c >= :first");
            // Its size is paid for whatever is asked for; only the network is spared.
            let call = call.projection_expression("#s, #c, #l, #t, #y");
            let call = call.set_expression_attribute_names(names([
                ("#s", STREAM_ID),
                ("#c", CHANGESET_ID),
                ("#l", item::LAST_EVENT_ID),
                ("#t", item::TIMESTAMP),
                ("#y", item::STREAM_TYPE),
            ]));
            let first = [(":s", item::text(stream_id.as_str())), (":first", item::number(1))];
            let call = call.set_expression_attribute_values(values(first));
            call.scan_index_forward(false).limit(1).send()
        };
        let answer = self.call(query).await.map_err(failed)?;
        Ok(answer.items.and_then(|items| items.into_iter().next()))
    }

    /// The keys and places of these items, as they are at this moment; what does not exist is left out.
    pub(super) async fn places(&self, keys: Vec<Item>) -> Result<Vec<Item>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_MAX) {
            let mut left = keys.to_vec();
            let mut pauses = backon::BackoffBuilder::build(pauses());
            let begun = Instant::now();
            while !left.is_empty() {
                let asked = left.len();
                let mut answer = self.some_places(left).await?;
                found.append(&mut answer.0);
                left = answer.1;
                // What was left unprocessed was too much at once.
                if left.len() == asked {
                    let pause = pauses.next().filter(|pause| begun.elapsed() + *pause < self.patience);
                    tokio::time::sleep(pause.ok_or(crate::Error::Overloaded)?).await;
                }
            }
        }
        Ok(found)
    }

    async fn some_places(&self, keys: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>)> {
        let mut names = place::names(self.format);
        names.insert("#c".to_owned(), CHANGESET_ID.to_owned());
        let projection = names.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let get = || async {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(keys.clone()))
                .consistent_read(true)
                .projection_expression(&projection)
                .set_expression_attribute_names(Some(names.clone()))
                .build()
                .map_err(SdkError::construction_failure)?;
            self.client.batch_get_item().request_items(&*self.name, request).send().await
        };
        let answer = self.call(get).await.map_err(failed)?;
        let found = answer.responses.into_iter().flatten().flat_map(|(_, items)| items).collect();
        let left = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys).collect();
        Ok((found, left))
    }
}

/// An attribute of an expression: its stand-in, and its value.
pub(super) type Value = (&'static str, AttributeValue);

/// The values of an expression.
pub(super) fn values<const N: usize>(values: [Value; N]) -> Option<Item> {
    Some(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The names of an expression.
pub(super) fn names<const N: usize>(
    names: [(&str, &str); N],
) -> Option<std::collections::HashMap<String, String>> {
    Some(names.into_iter().map(|(stand_in, name)| (stand_in.to_owned(), name.to_owned())).collect())
}
