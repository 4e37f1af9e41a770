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

/// An even number of them, in which both are measured.
const ROUNDS: usize = 20;
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
            // What goes second finds another disk, so both do in turns.
            let mut turns = [(Provider::None, &mut without), (Provider::NothingSampled, &mut with)];
            if round % 2 == 1 {
                turns.reverse();
            }
            for (provider, times) in turns {
                provider.set();
                let took =
                    if over_http { by_http(workload, &caller).await } else { by_library(workload).await };
                if round > 0 {
                    times.push(took.as_secs_f64());
                }
            }
        }
        // The disk changes from minute to minute, so each round is compared with itself.
        let ratio = median(without.iter().zip(&with).map(|(without, with)| without / with).collect());
        println!(
            "append, {what}, {WRITERS} writers, median of {ROUNDS} rounds: {:.2} s without a provider, throughput {ratio:.3} with one that samples nothing",
            median(without)
        );
    }
}

async fn by_library(workload: &Workload) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn EventStore> = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    append(&store, workload.appends, WRITERS, workload.commits()).await.took
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    (values[middle - 1] + values[middle]) / 2.0
}
