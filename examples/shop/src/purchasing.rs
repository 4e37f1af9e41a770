//! Orders more of a product that is sold out: a process manager, whose effects are commits to other streams.

use std::sync::Arc;

use ees_projector::Subscription;
use ees_projector::process_manager::{Append, CommitReactor};
use ees_projector::reactor::{Cause, Reactor};
use ees_store::{EventStore, Expectation, Filter};
use serde::{Deserialize, Serialize};

use crate::product::{self, ProductEvent};

/// What happens to a purchase order. Each order has a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PurchaseEvent {
    /// Items were ordered.
    Ordered {
        /// The product.
        product: String,
        /// The number of items.
        count: u32,
    },
}

/// The name of the reactor.
pub const NAME: &str = "purchasing";

/// The number of items in each order.
pub const COUNT: u32 = 50;

/// The reactor. It orders once each time that a product is sold out.
pub fn reactor(store: Arc<dyn EventStore>) -> impl Reactor {
    CommitReactor::new(NAME, store, order)
        .with_subscription(Subscription::to(Filter::event_types(["sold_out"])))
}

/// The commit that follows from an event: the first changeset of an order. The order is named after the
/// event, so it can't be made twice.
fn order(cause: &Cause<'_, ProductEvent>) -> Option<Append> {
    let (ProductEvent::SoldOut, Some(product)) = (cause.event, product::name_of(cause.stream_id())) else {
        return None;
    };
    let ordered = PurchaseEvent::Ordered { product: product.to_owned(), count: COUNT };
    let order = format!("purchase-order/{product}/{}", cause.event_id).parse().ok()?;
    Some(Append::of(order, &[ordered]).ok()?.expecting(Expectation::NewStream))
}
