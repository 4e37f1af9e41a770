//! Finds products in DynamoDB.
//!
//! All rows of a read model are in one partition, ordered by key. A query for one status reads the other rows
//! too. That is fine for thousands of products; for more, add a second read model whose keys begin with the
//! status.

use ees_projector::dynamodb::aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::dynamodb::{Database, Item, KEY, PARTITION};

use super::{Listed, Products, Wanted};
use crate::Failure;

pub(crate) async fn list(database: &Database, table: &str, wanted: Wanted) -> Result<Vec<Listed>, Failure> {
    let partition = database.partition(Products::NAME).await?;
    let after = wanted.after.filter(|after| !after.is_empty());
    let mut listed = Vec::new();
    let mut from = None;
    loop {
        let mut query = database.client().query().table_name(table).consistent_read(true);
        query = query.expression_attribute_names("#partition", PARTITION);
        query = query.expression_attribute_values(":partition", AttributeValue::S(partition.clone()));
        query = match &after {
            None => query.key_condition_expression("#partition = :partition"),
            Some(after) => query
                .key_condition_expression("#partition = :partition AND #key > :after")
                .expression_attribute_names("#key", KEY)
                .expression_attribute_values(":after", AttributeValue::S(after.clone())),
        };
        if let Some(status) = wanted.status {
            query = query
                .filter_expression("#status = :status")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", AttributeValue::S(status.as_str().to_owned()));
        }
        let page = Box::pin(query.set_exclusive_start_key(from).send()).await?;
        for item in page.items() {
            listed.push(of_item(item).ok_or("a row of the products can't be read")?);
        }
        from = page.last_evaluated_key;
        if from.is_none() || listed.len() >= Wanted::PAGE {
            listed.truncate(Wanted::PAGE);
            return Ok(listed);
        }
    }
}

fn of_item(item: &Item) -> Option<Listed> {
    let text = |name| Some(item.get(name)?.as_s().ok()?.clone());
    let number = |name| item.get(name)?.as_n().ok()?.parse().ok();
    Some(Listed {
        product: text(KEY)?,
        in_stock: number("in_stock")?,
        reserved: number("reserved")?,
        status: text("status")?,
    })
}
