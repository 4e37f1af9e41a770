//! The layout of a table: how to create one, and what an existing one must have.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, SseSpecification,
    StreamSpecification, StreamViewType, TableDescription, TimeToLiveSpecification,
};
use aws_sdk_dynamodb::{Client, Config};

use super::calls::{again, client};
use super::error::{failed, is_passing, storage, unbuilt};
use super::item::{
    CHANGESET_ID, EXPIRES_AT, FIRST_EVENT_ID, KEY_DIGEST, LAST_EVENT_ID, STREAM_ID, STREAM_TYPE, UPDATED_AT,
};
use super::place::{PAGE, PAGE_ITEM, STRIPE};
use super::table_format::TableFormat;
use crate::{Error, Result, StreamId, StreamType, TraceContext};

/// How long a call is tried that makes a table, or looks at one.
const PATIENCE: Duration = Duration::from_secs(10);
/// DynamoDB's own limit, for an item together with all its entries in local indexes.
const ITEM_BYTES_MAX: usize = 400 * 1024;
/// For an idempotency key, and the attributes of the global index, which a changeset gets after it was stored.
const KEPT_FREE_BYTES: usize = 1024;
/// The most that a key takes: the longest stream id, two numbers at most, and their names.
const KEYS_BYTES_MAX: usize = 9 + StreamId::BYTES_MAX + 12 + 21 + 14 + 21;
/// The most that a changeset takes besides its events and metadata, the names of these included.
const REST_BYTES_MAX: usize = KEYS_BYTES_MAX
    + 13
    + 21
    + 9
    + 27
    + 6
    + 8
    + 9
    + 16
    + 11
    + StreamType::BYTES_MAX
    + 13
    + TraceContext::STORED_MAX;

impl TableFormat {
    /// Reads the format of a table from its description.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the table does not exist, or can't be used for a store.
    pub async fn of(config: impl Into<Config>, table: &str) -> Result<Self> {
        Ok(Layout::of(&client(config), table).await?.format)
    }
}

/// What is known of a table from its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) format: TableFormat,
    pub(super) enumeration: String,
    pub(super) last_event: String,
    /// The local index over the digests of idempotency keys, in a table of this format.
    pub(super) keys: Option<String>,
    /// The largest changeset, in bytes of events and metadata.
    pub(super) limit_bytes: usize,
    /// Bytes of all items, as of some hours ago.
    pub(super) bytes: u64,
    /// Whether the local indexes hold whole changesets, as those of other systems do.
    pub(super) copies: usize,
    pub(super) stream: Option<StreamViewType>,
    /// The index over the heads of typed streams, where there is one.
    pub(super) by_type: Option<String>,
}

impl Layout {
    /// Reads the description of a table.
    pub(super) async fn of(client: &Client, table: &str) -> Result<Self> {
        let describe = || client.describe_table().table_name(table).send();
        let answer = match again(PATIENCE, describe, is_passing).await {
            Ok(answer) => answer,
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                return Err(Error::InvalidRequest(format!(
                    "there is no table {table:?} in this account and region; create it with `ees dynamodb create-table`"
                )));
            }
            Err(error) => return Err(failed(error)),
        };
        let description = answer.table.ok_or_else(|| storage("a table without a description"))?;
        Self::read(&description).map_err(|missing| {
            Error::InvalidRequest(format!(
                "the table {table:?} can't be used as an event store: it {missing}"
            ))
        })
    }

    /// Finds what is needed by its keys, not by its name.
    fn read(table: &TableDescription) -> std::result::Result<Self, String> {
        if !has_keys(table.key_schema(), STREAM_ID, CHANGESET_ID) {
            return Err(format!("has other keys than {STREAM_ID} and {CHANGESET_ID}"));
        }
        let global = table.global_secondary_indexes();
        let by_type = global.iter().find(|index| has_keys(index.key_schema(), STREAM_TYPE, UPDATED_AT));
        let local = |sort_key: &str| {
            let mut all = table.local_secondary_indexes().iter();
            let found = all.find(|it| has_keys(it.key_schema(), STREAM_ID, sort_key))?;
            Some(found.index_name().unwrap_or_default().to_owned())
        };
        let copies = table
            .local_secondary_indexes()
            .iter()
            .filter(|index| holds_more_than_keys(index.projection()))
            .count();
        // What has both could be opened by an earlier version too, which would not find these keys.
        let keys = local(KEY_DIGEST).filter(|_| local(FIRST_EVENT_ID).is_none());
        let format = match (&keys, copies) {
            (Some(_), _) => TableFormat::V3,
            (None, 0) => TableFormat::V2,
            (None, _) => TableFormat::V1,
        };
        let partition = format.partition_of_order();
        let over = |partition| global.iter().find(|it| has_keys(it.key_schema(), partition, PAGE_ITEM));
        let enumeration = over(partition).ok_or_else(|| match over(PAGE) {
            Some(_) if format.has_stripes() => format!(
                "was created by a build between two releases of ees: it has an index over idempotency keys, and its \
                 global index has the keys {PAGE} and {PAGE_ITEM} in place of {STRIPE} and {PAGE_ITEM}; export its log \
                 with that build, and import it into a new table"
            ),
            _ => format!("has no global index with the keys {partition} and {PAGE_ITEM}"),
        })?;
        if !holds_all(enumeration.projection()) {
            return Err("has a global index over the order that does not hold all attributes".to_owned());
        }
        let last_event = local(LAST_EVENT_ID)
            .ok_or_else(|| format!("has no local index with the sort key {LAST_EVENT_ID}"))?;
        Ok(Self {
            format,
            enumeration: enumeration.index_name().unwrap_or_default().to_owned(),
            last_event,
            keys,
            limit_bytes: limit_bytes(copies, table.local_secondary_indexes().len() - copies),
            bytes: u64::try_from(table.table_size_bytes().unwrap_or(0)).unwrap_or(0),
            copies,
            stream: table.stream_specification().and_then(|stream| stream.stream_view_type().cloned()),
            by_type: by_type.and_then(|index| index.index_name().map(str::to_owned)),
        })
    }
}

/// The maximum size of events and metadata in one changeset, in bytes, in a table that [`create_table`] made.
pub const LIMIT_BYTES: usize = limit_bytes(0, 2);

/// What is left for events and metadata of a changeset, given how many local indexes hold it whole, and how
/// many only its keys.
const fn limit_bytes(whole: usize, by_keys: usize) -> usize {
    (ITEM_BYTES_MAX - KEPT_FREE_BYTES - by_keys * KEYS_BYTES_MAX) / (1 + whole) - REST_BYTES_MAX
}

fn has_keys(schema: &[KeySchemaElement], partition_key: &str, sort_key: &str) -> bool {
    let has = |name: &str, kind: &KeyType| {
        schema.iter().any(|element| element.attribute_name() == name && element.key_type() == kind)
    };
    schema.len() == 2 && has(partition_key, &KeyType::Hash) && has(sort_key, &KeyType::Range)
}

fn holds_all(projection: Option<&Projection>) -> bool {
    projection.and_then(Projection::projection_type) == Some(&ProjectionType::All)
}

fn holds_more_than_keys(projection: Option<&Projection>) -> bool {
    projection.and_then(Projection::projection_type) != Some(&ProjectionType::KeysOnly)
}

/// Creates a table for a [`Store`](super::Store): with on-demand billing, encryption, point-in-time recovery,
/// a stream of new images, expiry of items, and, if `protected`, deletion protection. Its format is
/// [`TableFormat::V3`]. Returns whether it created the table; an existing one stays as it is.
///
/// # Errors
/// [`Error::Unavailable`] when it takes too long: retry. [`Error::Storage`] when the caller lacks a
/// permission.
pub async fn create_table(config: impl Into<Config>, table: &str, protected: bool) -> Result<bool> {
    let client = &client(config);
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [
        (STREAM_ID, ScalarAttributeType::S),
        (CHANGESET_ID, ScalarAttributeType::N),
        (LAST_EVENT_ID, ScalarAttributeType::N),
        (KEY_DIGEST, ScalarAttributeType::B),
        (STRIPE, ScalarAttributeType::N),
        (PAGE_ITEM, ScalarAttributeType::N),
        (STREAM_TYPE, ScalarAttributeType::S),
        (UPDATED_AT, ScalarAttributeType::S),
    ] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
        create = create.attribute_definitions(attribute.build().map_err(unbuilt)?);
    }
    for (name, sort_key) in [("LastEventId", LAST_EVENT_ID), ("IdempotencyKey", KEY_DIGEST)] {
        let index =
            LocalSecondaryIndex::builder().index_name(name).projection(projection(ProjectionType::KeysOnly));
        let index = index.set_key_schema(Some(keys(STREAM_ID, sort_key)?));
        create = create.local_secondary_indexes(index.build().map_err(unbuilt)?);
    }
    for (name, partition_key, sort_key) in
        [("EnumerationIndex", STRIPE, PAGE_ITEM), ("StreamTypeIndex", STREAM_TYPE, UPDATED_AT)]
    {
        let index =
            GlobalSecondaryIndex::builder().index_name(name).projection(projection(ProjectionType::All));
        let index = index.set_key_schema(Some(keys(partition_key, sort_key)?));
        create = create.global_secondary_indexes(index.build().map_err(unbuilt)?);
    }
    let stream =
        StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let create = create
        .set_key_schema(Some(keys(STREAM_ID, CHANGESET_ID)?))
        .stream_specification(stream.build().map_err(unbuilt)?)
        .sse_specification(SseSpecification::builder().enabled(true).build())
        .deletion_protection_enabled(protected);
    let made = match again(PATIENCE, || create.clone().send(), is_passing).await {
        Ok(_) => true,
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {
            false
        }
        Err(error) => return Err(failed(error)),
    };
    if made {
        wait_until_active(client, table).await?;
        recover_and_expire(client, table).await?;
    }
    Ok(made)
}

async fn wait_until_active(client: &Client, table: &str) -> Result<()> {
    use aws_sdk_dynamodb::client::Waiters;
    let waited = client.wait_until_table_exists().table_name(table).wait(Duration::from_secs(300)).await;
    waited
        .map(drop)
        .map_err(|error| Error::Unavailable(format!("DynamoDB: the table is not active yet: {error}")))
}

async fn recover_and_expire(client: &Client, table: &str) -> Result<()> {
    let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
    let recover = client.update_continuous_backups().table_name(table);
    let recover = recover.point_in_time_recovery_specification(recovery.build().map_err(unbuilt)?);
    again(PATIENCE, || recover.clone().send(), is_passing).await.map_err(failed)?;
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT);
    let expire = client.update_time_to_live().table_name(table);
    let expire = expire.time_to_live_specification(expiry.build().map_err(unbuilt)?);
    again(PATIENCE, || expire.clone().send(), is_passing).await.map(drop).map_err(failed)
}

fn keys(partition_key: &str, sort_key: &str) -> Result<Vec<KeySchemaElement>> {
    let key = |name: &str, kind: KeyType| {
        let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        element.map_err(unbuilt)
    };
    Ok(vec![key(partition_key, KeyType::Hash)?, key(sort_key, KeyType::Range)?])
}

fn projection(kind: ProjectionType) -> Projection {
    Projection::builder().projection_type(kind).build()
}

#[cfg(test)]
mod tests {
    use super::super::item::KEY_EXPIRES_AT;
    use super::*;

    #[test]
    fn a_changeset_of_the_limit_fits_with_all_its_entries() {
        let index_attributes = 4 + 21 + 9 + 21 + 6 + 21;
        // The digest and its time, and what the digest's entry takes more than that of an event's number.
        let key = (KEY_DIGEST.len() + 32) + (KEY_EXPIRES_AT.len() + 21) + (KEY_DIGEST.len() + 32 - (14 + 21));
        for (whole, by_keys) in [(0, 2), (2, 0), (1, 1), (0, 0)] {
            let item = limit_bytes(whole, by_keys) + REST_BYTES_MAX + index_attributes + key;
            assert!(item * (1 + whole) + by_keys * KEYS_BYTES_MAX <= ITEM_BYTES_MAX, "{whole} {by_keys}");
        }
        assert!(limit_bytes(2, 0) > 130_000 && limit_bytes(0, 2) > 395_000);
    }
}
