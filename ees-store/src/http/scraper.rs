//! The metrics of an API, for exporting them in another way than `GET /metrics`.

use std::sync::{Arc, OnceLock};

use super::app::App;
use super::endpoints;

/// Reads the metrics of an [`Api`](super::Api) once its router was built. It keeps the store open.
#[derive(Clone, Default)]
pub struct Scraper(Arc<OnceLock<App>>);

impl Scraper {
    /// Now the API is built.
    pub(super) fn reads(&self, app: App) {
        // A router is built once.
        let _ = self.0.set(app);
    }

    /// The metrics in the OpenMetrics text format, as `GET /metrics` has them. Empty before the router was
    /// built.
    pub async fn text(&self) -> String {
        let Some(app) = self.0.get() else { return String::new() };
        endpoints::metrics_text(app).await.unwrap_or_default()
    }
}
