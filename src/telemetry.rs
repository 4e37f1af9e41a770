//! Traces and metrics for an OpenTelemetry collector.

use ees_store::http::Scraper;

/// What the collector is sent, until [`shut_down`](Self::shut_down).
#[cfg(feature = "otlp")]
pub(crate) struct Telemetry(Option<ees_otlp::Telemetry>);

#[cfg(feature = "otlp")]
impl Telemetry {
    /// Starts what the environment says. A setting that can't be used is a warning: such variables are often
    /// meant for all programs of a machine, and the store shall serve.
    pub(crate) fn start() -> Self {
        let started = ees_otlp::Telemetry::from_environment("ees");
        Self(started.unwrap_or_else(|invalid| {
            tracing::warn!("no traces and metrics are sent: {invalid}");
            None
        }))
    }

    /// Sends the metrics of the API.
    pub(crate) fn export_metrics(&mut self, scraper: Scraper) {
        if let Some(telemetry) = &mut self.0 {
            telemetry.export_metrics(move || {
                let scraper = scraper.clone();
                async move { scraper.text().await }
            });
        }
    }

    /// Sends what is left, for a few seconds at most.
    pub(crate) async fn shut_down(self) {
        if let Some(telemetry) = self.0 {
            telemetry.shutdown().await;
        }
    }
}

/// Nothing is sent by this build.
#[cfg(not(feature = "otlp"))]
pub(crate) struct Telemetry;

#[cfg(not(feature = "otlp"))]
impl Telemetry {
    pub(crate) fn start() -> Self {
        if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some_and(|endpoint| !endpoint.is_empty()) {
            tracing::warn!(
                "no traces and metrics are sent: this build of ees does not have the feature `otlp`"
            );
        }
        Self
    }

    pub(crate) fn export_metrics(&mut self, _: Scraper) {}

    pub(crate) async fn shut_down(self) {}
}
