//! The store in DynamoDB keeps the laws in tables of every format, also with several stores on one table, and on a
//! bad day.

use std::marker::PhantomData;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::dynamodb::{LIMIT_BYTES, Store, TableFormat};
use ees_store::laws::{Capabilities, Subject};
use ees_store::{ChangesetId, ChangesetLog, EventStore, StreamId};
use ees_test_aws::{Account, Faults};

use crate::dynamodb::formats;

const TABLE: &str = "log";

/// A store in a local AWS that is kind, or as unkind as the real one.
struct DynamoDb<T, const UNKIND: bool> {
    account: Account,
    /// Its own, so that it can be cut off.
    faults: Faults,
    store: Arc<Store>,
    format: PhantomData<T>,
}

/// What the format of a table changes.
trait Table {
    const FORMAT: TableFormat;
    const LIMIT_BYTES: usize = LIMIT_BYTES;
    const LISTS_TYPES: bool = true;
}

struct V3;
struct V2;
struct OfAnotherSystem;

impl Table for V3 {
    const FORMAT: TableFormat = TableFormat::V3;
}

impl Table for V2 {
    const FORMAT: TableFormat = TableFormat::V2;
}

impl Table for OfAnotherSystem {
    const FORMAT: TableFormat = TableFormat::V1;
    const LIMIT_BYTES: usize = 134_135;
    const LISTS_TYPES: bool = false;
}

impl<T: Table, const UNKIND: bool> DynamoDb<T, UNKIND> {
    async fn open(account: Account) -> Self {
        let faults = if UNKIND { Faults::everything(seed()).item_by_item(0.2) } else { Faults::none() };
        let store = Store::open(&account.sdk_config_with(&faults), TABLE).await.unwrap();
        Self { account, faults, store: Arc::new(store), format: PhantomData }
    }
}

impl<T: Table, const UNKIND: bool> Subject for DynamoDb<T, UNKIND> {
    const CAPABILITIES: Capabilities = Capabilities {
        orders_at_commit: false,
        reads_segments: true,
        shares_log: true,
        lists_types: T::LISTS_TYPES,
        limit_bytes: T::LIMIT_BYTES,
        ..Capabilities::ALL
    };

    async fn new() -> Self {
        Self::open(formats::account_with(T::FORMAT, TABLE).await).await
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        self.store.clone()
    }

    async fn reopen(self) -> Self {
        let Self { account, store, .. } = self;
        drop(store);
        Self::open(account).await
    }

    /// The old store reaches the table no more.
    async fn crash(self) -> Self {
        let Self { account, faults, store: _old, .. } = self;
        faults.cut_off().await;
        Self::open(account).await
    }

    async fn beside(&self) -> Option<Self> {
        Some(Self::open(self.account.clone()).await)
    }

    async fn replace_events(&self, stream_id: &StreamId, changeset_id: ChangesetId, events: &str) -> bool {
        let client = Client::new(&self.account.sdk_config());
        let replace = client.update_item().table_name(TABLE).update_expression("SET events = :e");
        let replace = replace.key("stream_id", AttributeValue::S(stream_id.to_string()));
        let replace = replace.key("changeset_id", AttributeValue::N(changeset_id.to_string()));
        let replace = replace.condition_expression("attribute_exists(events)");
        replace.expression_attribute_values(":e", AttributeValue::S(events.to_owned())).send().await.unwrap();
        true
    }
}

/// Which bad day it is. Other ones by `just bad-days`.
fn seed() -> u64 {
    std::env::var("EES_FAULT_SEED").map_or(1, |seed| seed.parse().unwrap())
}

// Each format once: on a bad day, which is the harder half, or on a good one.
ees_store::store_laws!(DynamoDb<V3, true>);

mod in_an_earlier_table {
    use super::{DynamoDb, V2};

    ees_store::store_laws!(DynamoDb<V2, true>);
}

mod in_a_table_of_another_system_on_a_good_day {
    use super::{DynamoDb, OfAnotherSystem};

    ees_store::store_laws!(DynamoDb<OfAnotherSystem, false>);
}
