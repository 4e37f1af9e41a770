//! The form of the table.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::client::Waiters;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};

use super::error::Error;
use super::item::{KEY, PARTITION};
use crate::error::BoxError;

/// Creates a table for a [`Database`](super::Database), with on-demand billing, and waits up to 5 minutes
/// until it is ready. Returns whether it created the table; an existing table stays as it is. In a template,
/// declare two keys of type `S`: `ees_partition` (HASH) and `ees_key` (RANGE).
///
/// # Errors
/// An [`Error`], or that the table was not ready in time.
pub async fn create_table(client: &Client, table: &str) -> Result<bool, BoxError> {
    let mut create = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [(PARTITION, KeyType::Hash), (KEY, KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        create = create.attribute_definitions(attribute.attribute_type(ScalarAttributeType::S).build()?);
        create = create.key_schema(KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?);
    }
    match Box::pin(create.send()).await {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {
            return Ok(false);
        }
        Err(error) => return Err(Error::of(error).into()),
    }
    client.wait_until_table_exists().table_name(table).wait(Duration::from_secs(300)).await?;
    Ok(true)
}
