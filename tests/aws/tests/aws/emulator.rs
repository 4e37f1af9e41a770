//! The emulator is there when it is asked for, and each account is apart.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use ees_test_aws::LocalAws;

async fn create_table(client: &Client, name: &str) {
    let attribute = AttributeDefinition::builder()
        .attribute_name("key")
        .attribute_type(ScalarAttributeType::S)
        .build()
        .unwrap();
    let key = KeySchemaElement::builder().attribute_name("key").key_type(KeyType::Hash).build().unwrap();
    let create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(attribute).key_schema(key).send().await.unwrap();
}

#[tokio::test]
async fn an_account_sees_only_what_it_made_itself() {
    let one = Client::new(&LocalAws::account().await.sdk_config());
    create_table(&one, "mine").await;
    assert_eq!(one.list_tables().send().await.unwrap().table_names(), ["mine"]);
    // There are two emulators: one of these is on the same.
    for _ in 0..2 {
        let other = Client::new(&LocalAws::account().await.sdk_config());
        assert!(other.list_tables().send().await.unwrap().table_names().is_empty());
    }
}
