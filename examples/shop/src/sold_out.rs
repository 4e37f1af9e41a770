//! Somebody else's system is told when a product is sold out.

use ees_projector::reactor::Cause;

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

pub struct Telling(String, reqwest::Client);

pub fn reactor(webhook: &Webhook) -> Telling {
    Telling(webhook.url.clone(), reqwest::Client::new())
}

impl ees_projector::Reactor for Telling {
    type Event = ProductEvent;
    fn name(&self) -> &str {
        NAME
    }
    async fn react(&self, cause: Cause<'_, ProductEvent>) -> Result<(), ees_projector::BoxError> {
        if *cause.event == ProductEvent::SoldOut {
            let body = serde_json::json!({"event": cause.event, "stream": cause.stream_id().as_str()});
            let call = self.1.post(&self.0).header("Idempotency-Key", cause.key("webhook")).json(&body);
            call.send().await?.error_for_status()?;
        }
        Ok(())
    }
}
