//! More of what is sold out is ordered: a process manager, whose effects are commits to other streams.

use std::sync::Arc;

use ees_projector::BoxError;
use ees_projector::reactor::{Cause, CommitReactor};
use ees_store::{EventStore, StreamId};
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
pub struct Purchasing(Arc<dyn EventStore>);

pub fn reactor(store: Arc<dyn EventStore>) -> Purchasing {
    Purchasing(store)
}

impl ees_projector::Reactor for Purchasing {
    type Event = ProductEvent;
    fn name(&self) -> &str {
        NAME
    }
    async fn react(&self, cause: Cause<'_, ProductEvent>) -> Result<(), BoxError> {
        let (ProductEvent::SoldOut, Some(product)) = (cause.event, product::name_of(cause.stream_id()))
        else {
            return Ok(());
        };
        let order: StreamId = format!("purchase-order/{product}/{}", cause.event_id).parse()?;
        let ordered = PurchaseEvent::Ordered { product: product.to_owned(), count: COUNT };
        let commit = ees_store::Commit::new(
            order,
            ees_store::Expectation::NewStream,
            ees_store::Events::of(&[ordered])?,
        );
        self.0.commit(commit.with_idempotency_key(cause.key("order").parse()?)).await?;
        Ok(())
    }
}
