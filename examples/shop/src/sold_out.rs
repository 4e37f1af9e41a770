//! Somebody else's system is told when a product is sold out.

use ees_projector::Subscription;
use ees_projector::webhook::HttpReactor;
use ees_store::Filter;

use crate::product::ProductEvent;

/// Whom to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to; with `http://` or `https://`.
    pub url: String,
    /// What the messages are signed with, for the receiver to check.
    pub secret: Option<String>,
}

/// The reactor's name.
pub const NAME: &str = "sold_out";

/// Tells, once for each time that a product is sold out: again until it was taken, always under the same `Idempotency-Key`, and
/// never when a read model is rebuilt.
pub fn reactor(webhook: &Webhook) -> HttpReactor<ProductEvent> {
    let reactor = HttpReactor::new(NAME, &webhook.url)
        .with_subscription(Subscription::to(Filter::event_types(["sold_out"])))
        // A changeset comes whole.
        .when(|cause| *cause.event == ProductEvent::SoldOut);
    match &webhook.secret {
        Some(secret) => reactor.with_secret(secret),
        None => reactor,
    }
}
