//! Sends the traces and metrics of a program to an OpenTelemetry collector: OTLP over HTTP, set up by the
//! standard environment variables.
//!
//! `ees-store`, `ees-projector` and `ees-aggregate` make spans with their feature `opentelemetry`, for
//! whichever tracer provider the program has. A program without one calls [`Telemetry::from_environment`]
//! once:
//!
//! ```no_run
//! use ees_otlp::Telemetry;
//!
//! # async fn run() {
//! let telemetry = match Telemetry::from_environment("mailer") {
//!     Ok(telemetry) => telemetry,
//!     Err(invalid) => {
//!         tracing::warn!("no traces and metrics are sent: {invalid}");
//!         None
//!     }
//! };
//! // ... the program's work ...
//! if let Some(telemetry) = telemetry {
//!     telemetry.shutdown().await;
//! }
//! # }
//! ```
//!
//! Nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` or one of its two special forms is set. A collector
//! that can't be reached holds up nobody but [`Telemetry::flush`]: what it does not take within the time-out is
//! dropped and counted in the log.
//!
//! | variable | effect |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | the collector, such as `http://localhost:4318` |
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` | whole URLs, for one of the two |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `_TIMEOUT`, `_COMPRESSION`, `_PROTOCOL`, and each with `TRACES_` or `METRICS_` | as the specification says; `http/protobuf` is the only protocol |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what the program is called |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which traces are recorded. Default: all that a caller does not exclude |
//! | `OTEL_BSP_...`, `OTEL_SPAN_...` | size and pace of batches of spans, limits of a span |
//! | `OTEL_METRIC_EXPORT_INTERVAL` | milliseconds between two exports of metrics. Default: 60000 |
//! | `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` | `none` switches one of the two off |
//! | `OTEL_SDK_DISABLED` | `true` switches both off |

mod openmetrics;
mod sender;
mod settings;
mod span_exporter;
mod telemetry;

pub use settings::InvalidSetting;
pub use telemetry::Telemetry;
