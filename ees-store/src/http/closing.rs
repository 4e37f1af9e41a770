//! Tells waiting requests that the server is stopping.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::watch;

/// Tells a handler that the server is stopping, so that one that only waits can answer at once.
///
/// It is an axum extractor. Without a [`Server`](super::Server) around the router it never completes.
///
/// ```
/// use ees_store::http::Closing;
/// async fn wait_for_news(closing: Closing) -> &'static str {
///     tokio::select! {
///         () = tokio::time::sleep(std::time::Duration::from_secs(20)) => "nothing new",
///         () = closing.closed() => "nothing new so far",
///     }
/// }
/// # let _ = wait_for_news;
/// ```
#[derive(Clone, Debug)]
pub struct Closing(Arc<watch::Sender<bool>>);

impl Closing {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(super) fn close(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the server is stopping.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn closed(&self) {
        // Can't fail: the sender is here.
        let _ = self.0.subscribe().wait_for(|closing| *closing).await;
    }
}

impl<S: Sync> FromRequestParts<S> for Closing {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::new))
    }
}
