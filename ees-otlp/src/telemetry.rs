//! What a program starts and ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::{Key, KeyValue};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::openmetrics;
use crate::sender::Sender;
use crate::settings::{InvalidSetting, Settings};
use crate::span_exporter::SpanExporter;

/// The longest time that [`Telemetry::shutdown`] takes.
const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// The longest time that [`Telemetry::flush`] takes: less than a function has left when its work must end.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// How long nobody waits for a collector that was too slow.
const NEXT_FLUSH: Duration = Duration::from_secs(60);

/// Sends traces and metrics to a collector while the program runs.
#[must_use = "what is not sent when the program ends is lost: call `shutdown`"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<Metrics>,
    /// When a flush was last given up.
    gave_up: Mutex<Option<Instant>>,
}

struct Metrics {
    sender: Arc<Sender>,
    resource: Resource,
    interval: Duration,
    since: u64,
    /// The task that sends them, and how it is asked to end.
    sending: Option<(JoinHandle<()>, watch::Sender<()>)>,
}

impl Telemetry {
    /// Sets the process's tracer provider by the [environment](crate). `None` if that sends nothing. Call it
    /// once, in a Tokio runtime that lives as long as the program.
    ///
    /// `service_name` applies unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say something else.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the variable. Nothing is set up then.
    pub fn from_environment(service_name: &str) -> Result<Option<Self>, InvalidSetting> {
        Self::from_variables(service_name, |name| std::env::var(name).ok())
    }

    /// As [`from_environment`](Self::from_environment), with variables from elsewhere, such as a file of settings.
    /// The sampler, the name of the service, and the limits and batches of spans still come from the environment.
    ///
    /// # Errors
    /// As [`from_environment`](Self::from_environment).
    pub fn from_variables(
        service_name: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, InvalidSetting> {
        let settings = Settings::read(&variable)?;
        if settings.traces.is_none() && settings.metrics.is_none() {
            return Ok(None);
        }
        let resource = resource(service_name);
        let sender = |destination| match Sender::new(destination) {
            Ok(sender) => Some(sender),
            Err(error) => {
                tracing::warn!(%error, "no client for the OpenTelemetry collector");
                None
            }
        };
        let traces = settings.traces.and_then(sender).map(|sender| {
            let provider = SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_batch_exporter(SpanExporter::new(sender))
                .build();
            opentelemetry::global::set_tracer_provider(provider.clone());
            provider
        });
        let metrics = settings.metrics.and_then(sender).map(|sender| Metrics {
            sender: Arc::new(sender),
            resource,
            interval: settings.metric_export_interval,
            since: nanoseconds(SystemTime::now()),
            sending: None,
        });
        Ok(Some(Self { traces, metrics, gave_up: Mutex::default() }))
    }

    /// Sends metrics at each interval, and once more at shutdown. `scrape` returns them in the OpenMetrics
    /// text format: what the program shows to Prometheus, so that there is one set of metrics and not two.
    pub fn export_metrics<F, Fut>(&mut self, scrape: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = String> + Send + 'static,
    {
        let Some(metrics) = &mut self.metrics else { return };
        let (stop, mut stopped) = watch::channel(());
        let (sender, since, interval) = (metrics.sender.clone(), metrics.since, metrics.interval);
        let resource = metrics.resource.clone();
        let sending = tokio::spawn(async move {
            loop {
                let is_last = tokio::select! {
                    _ = stopped.changed() => true,
                    () = tokio::time::sleep(interval) => false,
                };
                let message = message(&scrape().await, &resource, since);
                // The sender logs what fails. The next message has the sums again.
                let _ = sender.send(&message).await;
                if is_last {
                    break;
                }
            }
        });
        metrics.sending = Some((sending, stop));
    }

    /// Sends the spans that have ended so far, for up to 1 second: for functions, which are frozen between two
    /// calls. After a flush that took longer, the next minute's calls don't wait for the collector.
    pub async fn flush(&self) {
        let Some(provider) = self.traces.clone() else { return };
        let gave_up = || self.gave_up.lock().unwrap_or_else(PoisonError::into_inner);
        if gave_up().is_some_and(|at| at.elapsed() < NEXT_FLUSH) {
            return;
        }
        let flushing = tokio::task::spawn_blocking(move || {
            let _ = provider.force_flush();
        });
        let is_sent = within(FLUSH_MAX, flushing).await;
        *gave_up() = (!is_sent).then(Instant::now);
    }

    /// Sends what is left, for up to 3 seconds.
    pub async fn shutdown(self) {
        let metrics = async {
            if let Some((sending, stop)) = self.metrics.and_then(|metrics| metrics.sending) {
                let _ = stop.send(());
                let abort = sending.abort_handle();
                let _ = within(SHUTDOWN_MAX, sending).await;
                abort.abort();
            }
        };
        let traces = async {
            if let Some(provider) = self.traces {
                let ending = tokio::task::spawn_blocking(move || {
                    let _ = provider.shutdown_with_timeout(SHUTDOWN_MAX);
                });
                let _ = within(SHUTDOWN_MAX, ending).await;
            }
        };
        tokio::join!(metrics, traces);
    }
}

/// Returns whether it was done in time.
async fn within(time: Duration, work: JoinHandle<()>) -> bool {
    let is_done = tokio::time::timeout(time, work).await.is_ok();
    if !is_done {
        tracing::warn!(
            "what was left for the OpenTelemetry collector could not be sent in time, and is dropped"
        );
    }
    is_done
}

fn resource(service_name: &str) -> Resource {
    let named = Resource::builder();
    let known = Resource::builder().build();
    let is_unknown = known
        .get(&Key::from_static_str("service.name"))
        .is_none_or(|name| name.as_str().starts_with("unknown_service"));
    let named = if is_unknown { named.with_service_name(service_name.to_owned()) } else { named };
    // So that two processes' sums are not taken for one another's.
    let instance = KeyValue::new("service.instance.id", Uuid::new_v4().to_string());
    let has_instance = known.get(&Key::from_static_str("service.instance.id")).is_some();
    if has_instance { named.build() } else { named.with_attribute(instance).build() }
}

fn message(text: &str, resource: &Resource, since: u64) -> ExportMetricsServiceRequest {
    let metrics = openmetrics::parse(text, since, nanoseconds(SystemTime::now()));
    let scope = InstrumentationScope { name: "ees".to_owned(), ..Default::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
    let resource_metrics = ResourceMetrics {
        resource: Some(resource.into()),
        scope_metrics,
        schema_url: resource.schema_url().unwrap_or_default().to_owned(),
    };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry::global;
    use opentelemetry::trace::{Span as _, Tracer as _};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_does_not_answer_is_waited_for_once_a_minute() {
        // Connections are accepted by the system, and nobody answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let variable = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| url.clone());
        let telemetry = Telemetry::from_variables("test", variable).unwrap().unwrap();
        let flush = async || {
            global::tracer("test").start("span").end();
            let began = Instant::now();
            telemetry.flush().await;
            began.elapsed()
        };
        assert!(flush().await >= FLUSH_MAX);
        assert!(flush().await < FLUSH_MAX);
    }
}
