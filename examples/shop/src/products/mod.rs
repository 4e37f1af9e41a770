//! The list of products: a read model, with a row for each.
//!
//! One struct for every database: columns in SQLite and PostgreSQL, attributes in DynamoDB. How rows are found again is each
//! database's own business, and a file here.

#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod sqlite;

use ees_projector::{Fold, Order, ReadModel, Recorded, Subscription, Table};
use ees_store::Filter;
use serde::{Deserialize, Serialize};

use crate::product::{self, ProductEvent};

/// A row; the product's name is its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "products", key = "product", index(status, product))]
pub struct Row {
    /// On the shelf.
    pub in_stock: u64,
    /// Put aside, ever.
    pub reserved: u64,
    /// Whether there is any left.
    #[read_model(column = "text")]
    pub status: Status,
}

/// Whether there is any left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is.
    InStock,
    /// There is not.
    SoldOut,
}

impl Status {
    /// As the column holds it.
    fn as_str(self) -> &'static str {
        match self {
            Self::InStock => "in_stock",
            Self::SoldOut => "sold_out",
        }
    }
}

/// Keeps the rows up with the events.
pub struct Products;

impl Products {
    /// Its name, and that of its table.
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
            // There can't be a reservation of nothing; a row is no place to find out.
            ProductEvent::Reserved { .. } => {
                Row { in_stock: row.in_stock.saturating_sub(1), reserved: row.reserved + 1, ..row }
            }
            ProductEvent::SoldOut => Row { status: Status::SoldOut, ..row },
        })
    }
}

/// Which products to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Those of this status only.
    pub status: Option<Status>,
    /// Those that come after this name, which is the last one of the page before.
    pub after: Option<String>,
}

impl Wanted {
    /// Products on a page.
    pub const PAGE: usize = 100;
}

/// A product in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub product: String,
    /// On the shelf.
    pub in_stock: i64,
    /// Put aside, ever.
    pub reserved: i64,
    /// Whether there is any left.
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
        // Batches cut at random, delivered twice, crashes before and after commits: one end.
        history.check_fold(|| Products).await;
    }
}
