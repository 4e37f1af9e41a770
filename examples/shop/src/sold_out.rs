//! Calls a webhook when a product is sold out.

use ees_projector::Subscription;
use ees_projector::webhook::HttpReactor;
use ees_store::Filter;

use crate::product::ProductEvent;

/// The webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The URL, with `http://` or `https://`.
    pub url: String,
    /// The secret that signs the calls. The receiver checks the signature.
    pub secret: Option<String>,
}

/// The name of the reactor.
pub const NAME: &str = "sold_out";

/// The reactor. It calls the webhook each time that a product is sold out, and retries until the call
/// succeeds, always with the same `Idempotency-Key`. A rebuild of a read model does not call it again.
pub fn reactor(webhook: &Webhook) -> HttpReactor<ProductEvent> {
    let reactor = HttpReactor::new(NAME, &webhook.url)
        .with_subscription(Subscription::to(Filter::event_types(["sold_out"])))
        // The filter selects whole changesets, which also have the event `reserved`.
        .when(|cause| *cause.event == ProductEvent::SoldOut);
    match &webhook.secret {
        Some(secret) => reactor.with_secret(secret),
        None => reactor,
    }
}
