//! More of what is sold out is ordered: a process manager, whose effects are commits to other streams.

use std::sync::Arc;

use ees_projector::Subscription;
use ees_projector::process_manager::{Append, CommitReactor};
use ees_projector::reactor::{Cause, Reactor};
use ees_store::{EventStore, Expectation, Filter};
use serde::{Deserialize, Serialize};

use crate::product::{self, ProductEvent};

/// What happens to a purchase order. Each has a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PurchaseEvent {
    /// So many are wanted.
    Ordered {
        /// Of which product.
        product: String,
        /// How many.
        count: u32,
    },
}

/// The reactor's name.
pub const NAME: &str = "purchasing";

/// So many are ordered each time.
pub const COUNT: u32 = 50;

/// Orders, once for each time that a product is sold out.
pub fn reactor(store: Arc<dyn EventStore>) -> impl Reactor {
    CommitReactor::new(NAME, store, order)
        .with_subscription(Subscription::to(Filter::event_types(["sold_out"])))
}

/// What follows from an event: the first changeset of an order that is named after it, so that there can't be two.
fn order(cause: &Cause<'_, ProductEvent>) -> Option<Append> {
    let (ProductEvent::SoldOut, Some(product)) = (cause.event, product::name_of(cause.stream_id())) else {
        return None;
    };
    let ordered = PurchaseEvent::Ordered { product: product.to_owned(), count: COUNT };
    let order = format!("purchase-order/{product}/{}", cause.event_id).parse().ok()?;
    Some(Append::of(order, &[ordered]).ok()?.expecting(Expectation::NewStream))
}
