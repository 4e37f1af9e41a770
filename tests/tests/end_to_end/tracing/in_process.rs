//! What the spans of this process are sent to, and callers with traces of their own.

use std::sync::OnceLock;

use ees_otlp::Telemetry;
use ees_store::TraceContext;

use super::collector::{Collector, runtime};

/// The collector of the spans of this process. A process has one tracer provider.
pub(crate) fn collector() -> &'static Collector {
    static COLLECTOR: OnceLock<Collector> = OnceLock::new();
    COLLECTOR.get_or_init(|| {
        let collector = Collector::start();
        let url = collector.url().to_owned();
        let variable = move |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| url.clone());
        let (started, is_started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let telemetry = Telemetry::from_variables("tests", variable).unwrap().unwrap();
                started.send(()).unwrap();
                loop {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    telemetry.flush().await;
                }
            });
        });
        is_started.recv().unwrap();
        collector
    })
}

/// A caller's span, in a trace that nobody else has.
pub(crate) fn caller(sampled: bool) -> TraceContext {
    let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
    let traceparent = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
    TraceContext::from_headers(&traceparent, Some("vendor=1")).unwrap()
}
