//! Items of a DynamoDB table, which another system or somebody by hand may have written.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use uuid::Uuid;

use crate::Tail;
use crate::dynamodb::item::{self, Item};

/// An item is a changeset that reads back as it was written, or one that is quarantined, or none. The input is
/// DynamoDB's JSON.
pub fn item(data: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice(data) else { return };
    let item: Item =
        members.into_iter().filter_map(|(name, value)| Some((name, attribute(&value)?))).collect();
    let _ = (item::is_reserved(&item), item::candidate(&item).is_ok());
    assert!(item::size_bytes(&item) <= data.len() * 2);
    if let Ok(head) = item::to_head(&item) {
        assert_eq!(
            item::to_number(&item, item::HEAD_CHANGESET_ID).ok().map(clamped),
            Some(head.tail.last_changeset.get())
        );
    }
    let Ok(changeset) = item::to_changeset(&item) else { return };
    if changeset.events.quarantined().is_some() {
        return;
    }
    let number = |name| item::to_number(&item, name).unwrap_or_default();
    let (first, last) = (number(item::FIRST_EVENT_ID), number(item::LAST_EVENT_ID));
    // Beyond what a column holds, and a range that ends before it begins, are nobody's.
    if last > i64::MAX as u64 || first > last {
        return;
    }
    let written = item::of_changeset(&changeset, Uuid::nil());
    assert_eq!(item::to_changeset(&written).ok().as_ref(), Some(&changeset));
    assert_eq!(item::to_tail(&written).ok(), Some(Tail::after(&changeset)));
    assert_eq!(item::to_tail(&item).ok(), Some(Tail::after(&changeset)));
}

fn clamped(number: u64) -> u64 {
    number.min(i64::MAX as u64)
}

fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => Some(AttributeValue::S(text.clone())),
        ("N", Value::String(digits)) => Some(AttributeValue::N(digits.clone())),
        ("B", Value::String(text)) => Some(AttributeValue::B(Blob::new(text.as_bytes()))),
        ("NULL", Value::Bool(truth)) => Some(AttributeValue::Null(*truth)),
        _ => None,
    }
}
