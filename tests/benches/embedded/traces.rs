//! What it costs that a trace could be recorded, and is not: the same appends without a tracer provider, and
//! with one whose sampler wants nothing. In turns, so that both have the same disk.

use std::sync::Arc;
use std::time::Duration;

use ees_store::http::{Api, Server};
use ees_store::{EventStore, TraceContext, sqlite};
use opentelemetry::global;
use opentelemetry::trace::noop::NoopTracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use crate::http::append_over_http;
use crate::shared::append::append;
use crate::shared::workload::Workload;

/// Both are measured so often, and the medians compared.
const ROUNDS: usize = 9;
const WRITERS: u64 = 64;

#[derive(Clone, Copy)]
enum Provider {
    None,
    NothingSampled,
}

impl Provider {
    fn set(self) {
        match self {
            Self::None => global::set_tracer_provider(NoopTracerProvider::new()),
            Self::NothingSampled => {
                let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
                global::set_tracer_provider(SdkTracerProvider::builder().with_sampler(sampler).build());
            }
        }
    }
}

pub(crate) async fn measure(workload: &Workload) {
    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let caller = TraceContext::from_headers(caller, None).unwrap();
    for (what, over_http) in [("library", false), ("HTTP", true)] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=ROUNDS {
            for (provider, times) in [(Provider::None, &mut without), (Provider::NothingSampled, &mut with)] {
                provider.set();
                let took =
                    if over_http { by_http(workload, &caller).await } else { by_library(workload).await };
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let (without, with) = (median(without), median(with));
        let ratio = without.as_secs_f64() / with.as_secs_f64();
        println!(
            "append, {what}, {WRITERS} writers: {without:.2?} without a provider, {with:.2?} with one that samples nothing: throughput {ratio:.3}"
        );
    }
}

async fn by_library(workload: &Workload) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn EventStore> = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    append(&store, workload, workload.appends, WRITERS).await.took
}

/// Each request has a caller that is not sampled.
async fn by_http(workload: &Workload, caller: &TraceContext) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = Api::new(store.clone(), store).router();
    let served = tokio::spawn(server.serve(router, async { drop(stopped.await) }));
    let took =
        append_over_http(address, workload, &format!("traceparent: {}\r\n", caller.traceparent())).await;
    let _ = stop.send(());
    served.await.unwrap();
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
