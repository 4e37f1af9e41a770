//! What the API counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Checkpoint;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    /// The pattern, not the path: `/streams/{stream_id}`.
    route: String,
    status: &'static str,
}

/// What the API counts. Clones share their counts.
#[derive(Clone)]
pub(super) struct Metrics {
    commits: Family<CommitLabels, Counter>,
    committed_events: Counter,
    commit_times: Histogram,
    requests: Family<RequestLabels, Histogram>,
    in_flight: Gauge,
    subscribers: Gauge,
    log_head: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        // 0.25 ms to 16 s, doubling.
        let buckets = || Histogram::new(exponential_buckets(0.000_25, 2.0, 17));
        let metrics = Self {
            commits: Family::default(),
            committed_events: Counter::default(),
            commit_times: buckets(),
            requests: Family::new_with_constructor(buckets),
            in_flight: Gauge::default(),
            subscribers: Gauge::default(),
            log_head: Gauge::default(),
        };
        registry.register(
            "ees_commits",
            "Commits by result: OK, or the error's code",
            metrics.commits.clone(),
        );
        registry.register(
            "ees_committed_events",
            "Events of commits that were answered with OK",
            metrics.committed_events.clone(),
        );
        registry.register(
            "ees_commit_duration_seconds",
            "Time from the head of a commit that was stored to the head of its answer, where it has a request of its own",
            metrics.commit_times.clone(),
        );
        registry.register(
            "ees_http_request_duration_seconds",
            "Time from a request's head to its answer's, by route and class of status",
            metrics.requests.clone(),
        );
        registry.register("ees_http_requests_in_flight", "Requests under way", metrics.in_flight.clone());
        registry.register("ees_http_subscribers", "Event streams under way", metrics.subscribers.clone());
        registry.register(
            "ees_log_head",
            "The checkpoint after the newest changeset",
            metrics.log_head.clone(),
        );
        metrics
    }

    /// Counts a request as under way until what is returned is dropped: a client may go away half-way.
    pub(super) fn begin(&self) -> Counted {
        Counted::by(&self.in_flight)
    }

    /// Counts the reader of an event stream until what is returned is dropped.
    pub(super) fn subscribed(&self) -> Counted {
        Counted::by(&self.subscribers)
    }

    /// A commit is answered. `OK` stands for one that was stored; `time`, if that is known, is how long it took.
    pub(super) fn committed(&self, result: &'static str, time: Option<Duration>) {
        if let Some(time) = time.filter(|_| result == "OK") {
            self.commit_times.observe(time.as_secs_f64());
        }
        self.commits.get_or_create(&CommitLabels { result }).inc();
    }

    pub(super) fn committed_events(&self, count: u64) {
        self.committed_events.inc_by(count);
    }

    /// The log ends here.
    pub(super) fn log_ends_at(&self, head: Checkpoint) {
        self.log_head.set(i64::try_from(head.get()).unwrap_or(i64::MAX));
    }

    pub(super) fn answered(&self, route: &str, status: u16, time: Duration) {
        let status = match status {
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        let labels = RequestLabels { route: route.to_owned(), status };
        self.requests.get_or_create(&labels).observe(time.as_secs_f64());
    }
}

/// What is counted as long as this lives.
pub(super) struct Counted(Gauge);

impl Counted {
    fn by(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
