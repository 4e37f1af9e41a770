//! `ees serve`, set up by the standard variables.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use ees_tests::tracing::{Collector, caller, text};
use ees_tests::{Server, run};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use tempfile::tempdir;

/// The variables that send to this collector, and more.
fn sending_to<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "50")], more].concat()
}

async fn commit(server: &Server, stream: &str, headers: &[(&str, &str)]) {
    let request = reqwest::Client::new().post(format!("{}/streams/{stream}", server.url()));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.header("content-type", "application/json");
    let answer = request.body(r#"{"events": [{"type": "opened"}]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_sends_its_spans_and_the_metrics_that_prometheus_gets() {
    let (folder, collector) = (tempdir().unwrap(), Collector::start());
    let variables = sending_to(
        collector.url(),
        &[
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ("OTEL_SERVICE_NAME", "bank"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20secret"),
        ],
    );
    let server = Server::start_in(folder.path(), &[], &variables);
    let caller = caller(true);
    commit(&server, "a", &caller.headers().collect::<Vec<_>>()).await;
    collector.span(caller.trace_id(), "POST /streams/{stream_id}").await;
    collector.span(caller.trace_id(), "commit").await;
    collector.span(caller.trace_id(), "apply statistics").await;

    let commits = |data: &Data| match data {
        Data::Sum(sum) => sum.data_points.first().and_then(|point| point.value),
        _ => None,
    };
    collector
        .until(|received| {
            let mut found = received.metrics.iter().filter(|metric| metric.name == "ees_commits");
            let one = Some(number_data_point::Value::AsDouble(1.0));
            found.find(|metric| metric.data.as_ref().and_then(commits) == one).map(drop)
        })
        .await;
    let received = collector.now();
    let shown = server.get_text("/metrics");
    let named = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    // What has no sample yet is sent once it has one.
    let has_samples = |name: &&str| shown.lines().any(|line| line.starts_with(*name));
    for name in named.filter(has_samples) {
        assert!(received.metrics.iter().any(|metric| metric.name == name), "{name}");
    }
    assert!(received.services.iter().all(|service| service == "bank"), "{:?}", received.services);
    assert_eq!(received.headers["x-key"], "a secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sampler_leaves_out_is_not_sent_and_the_rest_at_the_end() {
    let (folder, collector) = (tempdir().unwrap(), Collector::start());
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*format!("{}/v1/traces", collector.url())),
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ];
    let mut server = Server::start_in(folder.path(), &[], &variables);
    let (sampled, unsampled) = (caller(true), caller(false));
    commit(&server, "a", &[]).await;
    commit(&server, "b", &unsampled.headers().collect::<Vec<_>>()).await;
    commit(&server, "c", &sampled.headers().collect::<Vec<_>>()).await;
    assert!(server.stop().success());
    let received = collector.now();
    assert!(received.of(sampled.trace_id()).any(|span| span.name == "commit"), "{received:?}");
    assert_eq!(received.of(sampled.trace_id()).count(), received.spans.len());
    assert!(received.metrics.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_where_it_is_switched_off() {
    let collector = Collector::start();
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    ] {
        let folder = tempdir().unwrap();
        let mut variables = sending_to(collector.url(), &[("OTEL_METRIC_EXPORT_INTERVAL", "10")]);
        variables.push(off);
        let mut server = Server::start_in(folder.path(), &[], &variables);
        commit(&server, "a", &caller(true).headers().collect::<Vec<_>>()).await;
        assert!(server.stop().success());
        let received = collector.now();
        assert!(received.spans.is_empty() && received.metrics.is_empty(), "{off:?}: {received:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_holds_up_neither_commits_nor_the_end() {
    // Connections are accepted by the system, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [silent_url, format!("http://{dead}")] {
        let folder = tempdir().unwrap();
        let variables = sending_to(
            &url,
            &[
                ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "10"),
            ],
        );
        let mut server = Server::start_in(folder.path(), &[], &variables);
        for number in 0..50 {
            commit(&server, &number.to_string(), &caller(true).headers().collect::<Vec<_>>()).await;
        }
        assert_eq!(
            run(&mut server.ees(&["tail", "--since-start", "--no-follow", "--json"])).json().len(),
            50
        );
        let began = Instant::now();
        assert!(server.stop().success());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_makes_no_spans() {
    let (folder, collector) = (tempdir().unwrap(), Collector::start());
    let variables = sending_to(collector.url(), &[("EES_API_KEYS", "read:the-reader")]);
    let mut server = Server::start_in(folder.path(), &[], &variables);
    let (stranger, reader) = (caller(true), caller(true));
    for (caller, key, status) in [(&stranger, "guessed", 401), (&reader, "the-reader", 404)] {
        let request = reqwest::Client::new().get(format!("{}/streams/none/changesets", server.url()));
        let request = caller.headers().fold(request, |request, (name, value)| request.header(name, value));
        assert_eq!(request.bearer_auth(key).send().await.unwrap().status(), status);
    }
    assert!(server.stop().success());
    let received = collector.now();
    assert_eq!((received.of(stranger.trace_id()).count(), received.of(reader.trace_id()).count()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_says_so_in_its_span() {
    let (folder, collector) = (tempdir().unwrap(), Collector::start());
    let server = Server::start_in(folder.path(), &[], &sending_to(collector.url(), &[]));
    let caller = caller(true);
    let request = reqwest::Client::new().get(format!("{}/streams/none/changesets", server.url()));
    let request = caller.headers().fold(request, |request, (name, value)| request.header(name, value));
    assert_eq!(request.send().await.unwrap().status(), 404);
    let span = collector.span(caller.trace_id(), "GET /streams/{stream_id}/changesets").await;
    assert_eq!(text(&span.attributes, "http.response.status_code").as_deref(), Some("404"));
    assert_eq!(text(&span.attributes, "error.type").as_deref(), Some("STREAM_NOT_FOUND"));
}
