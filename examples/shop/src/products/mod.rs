//! The list of products: a read model with a row for each product.
//!
//! One struct serves every database: it becomes columns in SQLite and PostgreSQL, attributes in DynamoDB. The
//! queries differ, so each database has a file here.

#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod sqlite;

use ees_projector::{Fold, Order, ReadModel, Recorded, Subscription, Table};
use ees_store::Filter;
use serde::{Deserialize, Serialize};

use crate::product::{self, ProductEvent};

/// A row. Its key is the product's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "products", key = "product", index(status, product))]
pub struct Row {
    /// Items in stock.
    pub in_stock: u64,
    /// Items that are reserved or paid.
    pub reserved: u64,
    /// Whether an item is left.
    pub status: Status,
}

/// Whether an item is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// An item is left.
    InStock,
    /// No item is left.
    SoldOut,
}

impl Status {
    /// The text in the column.
    fn as_str(self) -> &'static str {
        match self {
            Self::InStock => "in_stock",
            Self::SoldOut => "sold_out",
        }
    }
}

/// The projection that keeps the rows.
pub struct Products;

impl Products {
    /// The name of the projection and of its table.
    pub const NAME: &str = "products";
}

impl Fold for Products {
    type Event = ProductEvent;
    type Key = String;
    type State = Row;

    fn name(&self) -> &str {
        Self::NAME
    }
    fn table(&self) -> Table {
        Row::table()
    }
    fn subscription(&self) -> Subscription {
        Subscription::to(Filter::events_of::<ProductEvent>())
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, ProductEvent>) -> Option<String> {
        product::name_of(event.stream_id()).map(str::to_owned)
    }

    fn fold(&self, row: Option<Row>, event: Recorded<'_, ProductEvent>) -> Option<Row> {
        let row = row.unwrap_or(Row { in_stock: 0, reserved: 0, status: Status::InStock });
        Some(match event.event {
            ProductEvent::Restocked { count } => {
                let in_stock = row.in_stock + u64::from(count.get());
                Row { in_stock, status: Status::InStock, ..row }
            }
            // The rules exclude a reservation without stock, and a read model does not check them again.
            ProductEvent::Reserved { .. } => {
                Row { in_stock: row.in_stock.saturating_sub(1), reserved: row.reserved + 1, ..row }
            }
            ProductEvent::SoldOut => Row { status: Status::SoldOut, ..row },
            ProductEvent::Paid { .. } => row,
            ProductEvent::Released { count, .. } => {
                let (in_stock, reserved) = (row.in_stock + u64::from(count.get()), u64::from(count.get()));
                Row { in_stock, reserved: row.reserved.saturating_sub(reserved), status: Status::InStock }
            }
        })
    }
}

/// The query for products.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only products with this status.
    pub status: Option<Status>,
    /// Only products after this name, which is the last one of the previous page.
    pub after: Option<String>,
}

impl Wanted {
    /// The number of products on a page.
    pub const PAGE: usize = 100;
}

/// A product in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The product's name.
    pub product: String,
    /// Items in stock.
    pub in_stock: i64,
    /// Items that are reserved or paid.
    pub reserved: i64,
    /// Whether an item is left.
    pub status: String,
}

#[cfg(test)]
mod tests {
    use ees_projector::testkit::given;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_row_says_what_is_left() {
        let history = given([
            ("product/lamp", json!({"type": "restocked", "count": 2})),
            ("product/lamp", json!({"type": "reserved", "buyer": "ada"})),
            ("product/chair", json!({"type": "restocked", "count": 1})),
        ])
        .and("product/chair", [json!({"type": "reserved", "buyer": "bob"}), json!({"type": "sold_out"})]);
        history.fold(Products).await.expect([
            ("chair", Row { in_stock: 0, reserved: 1, status: Status::SoldOut }),
            ("lamp", Row { in_stock: 1, reserved: 1, status: Status::InStock }),
        ]);
        // The same rows after random batches, repeated deliveries, and crashes before and after commits.
        history.check_fold(|| Products).await;
    }
}
