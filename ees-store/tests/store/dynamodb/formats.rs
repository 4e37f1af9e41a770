//! Tables of all formats that the store opens.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex,
    Projection, ProjectionType, ScalarAttributeType,
};
use ees_store::Error;
use ees_store::dynamodb::{Store, TableFormat, create_table};
use ees_test_aws::{Account, LocalAws};

/// Those that `create_table` makes, and made.
pub(crate) const OURS: [TableFormat; 2] = [TableFormat::V3, TableFormat::V2];

/// An account with an empty table of this format.
pub(crate) async fn account_with(format: TableFormat, table: &str) -> Account {
    let account = LocalAws::account().await;
    create(&account, format, table).await;
    account
}

/// Creates an empty table of this format.
pub(crate) async fn create(account: &Account, format: TableFormat, table: &str) {
    match format {
        TableFormat::V3 => assert!(create_table(&account.sdk_config(), table, false).await.unwrap()),
        TableFormat::V2 => create_earlier(account, table).await,
        _ => create_foreign(account, table).await,
    }
    assert_eq!(TableFormat::of(&account.sdk_config(), table).await.unwrap(), format);
}

/// As `create_table` made it before, without what it turned on beside.
async fn create_earlier(account: &Account, table: &str) {
    let globals =
        [("EnumerationIndex", "page", "page_item"), ("StreamTypeIndex", "stream_type", "updated_at")];
    create_with(account, table, ProjectionType::KeysOnly, &globals, ("FirstEventId", "first_event_id")).await;
}

/// As the other system makes it: the misspelt index, local indexes that hold everything.
async fn create_foreign(account: &Account, table: &str) {
    let globals = [("EmumerationIndex", "page", "page_item")];
    create_with(account, table, ProjectionType::All, &globals, ("FirstEventId", "first_event_id")).await;
}

/// As builds made it between two releases.
#[tokio::test]
async fn a_table_with_keys_in_changesets_and_pages_without_stripes_is_refused() {
    let account = LocalAws::account().await;
    let globals = [("EnumerationIndex", "page", "page_item")];
    let keys = ("IdempotencyKey", "idempotency_key");
    create_with(&account, "log", ProjectionType::KeysOnly, &globals, keys).await;
    let refused = Store::open(&account.sdk_config(), "log").await.map(drop).unwrap_err();
    let Error::InvalidRequest(why) = &refused else { panic!("{refused:?}") };
    assert!(
        why.contains("build between two releases") && why.contains("import it into a new table"),
        "{why}"
    );
}

async fn create_with(
    account: &Account,
    table: &str,
    local: ProjectionType,
    globals: &[(&str, &str, &str)],
    first: (&str, &str),
) {
    let client = Client::new(&account.sdk_config());
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let numbers = ["changeset_id", "last_event_id"].map(|name| (name, ScalarAttributeType::N));
    let mut attributes = vec![("stream_id", ScalarAttributeType::S)];
    attributes.extend(numbers);
    let kind = if first.1 == "first_event_id" { ScalarAttributeType::N } else { ScalarAttributeType::B };
    attributes.push((first.1, kind));
    for (_, partition, sort) in globals {
        let kind = if *partition == "page" { ScalarAttributeType::N } else { ScalarAttributeType::S };
        attributes.extend([(*partition, kind.clone()), (*sort, kind)]);
    }
    for (name, kind) in attributes {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind);
        create = create.attribute_definitions(attribute.build().unwrap());
    }
    for (name, sort) in [first, ("LastEventId", "last_event_id")] {
        let index = LocalSecondaryIndex::builder().index_name(name).projection(projection(local.clone()));
        let index = index.set_key_schema(Some(key("stream_id", sort)));
        create = create.local_secondary_indexes(index.build().unwrap());
    }
    for (name, partition, sort) in globals {
        let index =
            GlobalSecondaryIndex::builder().index_name(*name).projection(projection(ProjectionType::All));
        let index = index.set_key_schema(Some(key(partition, sort)));
        create = create.global_secondary_indexes(index.build().unwrap());
    }
    create.set_key_schema(Some(key("stream_id", "changeset_id"))).send().await.unwrap();
}

fn key(partition: &str, sort: &str) -> Vec<KeySchemaElement> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .map(|(name, kind)| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap())
        .to_vec()
}

fn projection(kind: ProjectionType) -> Projection {
    Projection::builder().projection_type(kind).build()
}
