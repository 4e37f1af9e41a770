//! Releases what is reserved and not paid within half an hour: a reactor with a timer for each reservation.

use std::time::Duration;

use ees_aggregate::{Context, ExecuteError, Repository};
use ees_projector::reactor::{Cause, Firing, Reactor};
use ees_projector::{BoxError, Subscription};
use ees_store::Filter;

use crate::product::{Product, ProductCommand, ProductEvent};

/// The name of the reactor.
pub const NAME: &str = "reservations";

/// How long a buyer has to pay, from the last reservation on.
pub const PAY_WITHIN: Duration = Duration::from_secs(30 * 60);

/// The reactor.
pub struct Reservations {
    /// Executes the command to release.
    pub products: Repository<Product>,
}

impl Reactor for Reservations {
    type Event = ProductEvent;

    fn name(&self) -> &str {
        NAME
    }

    fn subscription(&self) -> Subscription {
        Subscription::to(Filter::event_types(["reserved", "paid"]))
    }

    /// Each product and buyer have a timer. Another reservation sets it anew; a payment cancels it.
    async fn react(&self, cause: Cause<'_, ProductEvent>) -> Result<(), BoxError> {
        match cause.event {
            ProductEvent::Reserved { buyer } => cause.at(cause.timestamp() + PAY_WITHIN, buyer, &()).await,
            ProductEvent::Paid { buyer } => cause.cancel(buyer).await.map(drop),
            // The filter selects whole changesets.
            _ => Ok(()),
        }
    }

    /// The rules know what is still unpaid, if the buyer pays at the same moment.
    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        let release = ProductCommand::Release { buyer: firing.timer().key.clone() };
        let context = Context::new().with_key(firing.key("release").parse()?);
        let execute = async || match self.products.execute_with(firing.stream_id(), &release, context).await {
            Ok(_) | Err(ExecuteError::AlreadyExecuted { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        firing.effect("release", execute).await
    }
}
