//! The last hour of some metrics, in memory, for plots.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::app::Inner;
use super::endpoints::metrics;
use crate::Timestamp;

/// How long samples are kept.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// Samples at most, however short the interval.
const SAMPLES_MAX: usize = 3_600;
/// Series at most: a bound on the memory, 15 MB with an interval of 10 s.
const SERIES_MAX: usize = 5_000;

/// A metric to keep, and the label that tells its series apart. Series that differ in other labels only are added
/// up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) metric: &'static str,
    pub(super) label: Option<&'static str>,
}

/// What the API itself counts and measures.
pub(super) const OF_THE_API: [Watched; 5] = [
    Watched { metric: "ees_log_head", label: None },
    Watched { metric: "ees_log_bytes", label: None },
    Watched { metric: "ees_commits_total", label: Some("result") },
    Watched { metric: "ees_committed_events_total", label: None },
    Watched { metric: "ees_http_request_duration_seconds_count", label: Some("status") },
];

/// The samples of the watched metrics.
pub(super) struct History {
    interval: Duration,
    watched: Vec<Watched>,
    samples: Mutex<Samples>,
}

#[derive(Default)]
struct Samples {
    times: VecDeque<Timestamp>,
    /// By metric and value of the label; as many values as there are times.
    series: BTreeMap<(&'static str, Option<String>), VecDeque<Option<f64>>>,
}

/// The last hour of some metrics.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"interval_seconds": 10.0, "times": ["2026-11-21T09:30:00.000001Z"], "series": [
    {"metric": "ees_commits_total", "label": "result", "of": "OK", "values": [37.0]}]}))]
pub(super) struct Told {
    /// Seconds between two samples.
    interval_seconds: f64,
    /// When each sample was taken, the oldest first.
    #[schema(value_type = Vec<String>)]
    times: Vec<Timestamp>,
    series: Vec<Series>,
}

/// The samples of one metric.
#[derive(Serialize, ToSchema)]
struct Series {
    /// Its name in `GET /metrics`.
    metric: &'static str,
    /// The label that tells the series of this metric apart, if there are several: `projection`, `result`, `status`.
    #[schema(required)]
    label: Option<&'static str>,
    /// The value of that label.
    #[schema(required)]
    of: Option<String>,
    /// A value for each time; `null` where there was none.
    values: Vec<Option<f64>>,
}

impl History {
    pub(super) fn new(interval: Duration, watched: Vec<Watched>) -> Self {
        Self { interval: interval.max(Duration::from_millis(1)), watched, samples: Mutex::default() }
    }

    /// Takes samples for as long as the server is there.
    pub(super) async fn keep(history: Arc<Self>, app: Weak<Inner>) {
        let mut ticks = tokio::time::interval(history.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(app) = app.upgrade() else { return };
            if let Ok(text) = metrics::text(&app).await {
                history.add(Timestamp::now(), &text);
            }
        }
    }

    fn samples_max(&self) -> usize {
        let samples = KEPT.as_secs_f64() / self.interval.as_secs_f64();
        (samples as usize).clamp(1, SAMPLES_MAX)
    }

    /// Adds a sample: what the metrics say at a time.
    fn add(&self, time: Timestamp, text: &str) {
        let mut found: BTreeMap<(&'static str, Option<String>), f64> = BTreeMap::new();
        for (metric, labels, value) in text.lines().filter_map(read_line) {
            let Some(watched) = self.watched.iter().find(|watched| watched.metric == metric) else {
                continue;
            };
            let of = watched.label.and_then(|label| value_of(labels, label));
            *found.entry((watched.metric, of)).or_default() += value;
        }
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let Samples { times, series } = &mut *samples;
        let before = times.len();
        for (key, value) in found {
            if series.len() < SERIES_MAX || series.contains_key(&key) {
                let values = series.entry(key).or_default();
                values.resize(before, None);
                values.push_back(Some(value));
            }
        }
        times.push_back(time);
        let surplus = times.len().saturating_sub(self.samples_max());
        times.drain(..surplus);
        series.retain(|_, values| {
            values.resize(before + 1, None);
            values.drain(..surplus);
            values.iter().any(Option::is_some)
        });
    }

    /// The samples of these metrics, or of all; of this value of the label, or of all.
    pub(super) fn tell(&self, metrics: &[&str], of: Option<&str>) -> Told {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |(metric, label): &(&'static str, Option<String>)| {
            (metrics.is_empty() || metrics.contains(metric)) && (of.is_none() || label.as_deref() == of)
        };
        let series =
            samples.series.iter().filter(|(key, _)| is_wanted(key)).map(|((metric, of), values)| Series {
                metric,
                label: self
                    .watched
                    .iter()
                    .find(|watched| watched.metric == *metric)
                    .and_then(|watched| watched.label),
                of: of.clone(),
                values: values.iter().copied().collect(),
            });
        Told {
            interval_seconds: self.interval.as_secs_f64(),
            times: samples.times.iter().copied().collect(),
            series: series.collect(),
        }
    }
}

/// The name, the labels and the value in a line of metrics; `None` for a comment.
fn read_line(line: &str) -> Option<(&str, &str, f64)> {
    let (named, value) = line.rsplit_once(' ')?;
    let (metric, labels) = match named.split_once('{') {
        Some((metric, labels)) => (metric, labels.strip_suffix('}')?),
        None => (named, ""),
    };
    let value: f64 = value.parse().ok()?;
    (!line.starts_with('#') && value.is_finite()).then_some((metric, labels, value))
}

/// The value of a label. Those that are watched need no escapes.
fn value_of(labels: &str, label: &str) -> Option<String> {
    let mut rest = labels;
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        if name == label {
            return Some(value.to_owned());
        }
        rest = after.strip_prefix(',')?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(interval: u64) -> History {
        History::new(Duration::from_secs(interval), OF_THE_API.to_vec())
    }

    fn values(history: &History, metric: &str) -> Vec<(Option<String>, Vec<Option<f64>>)> {
        history.tell(&[metric], None).series.into_iter().map(|it| (it.of, it.values)).collect()
    }

    #[test]
    fn what_is_watched_is_kept_and_added_up_over_other_labels() {
        let history = history(10);
        history.add(
            Timestamp::now(),
            "# HELP ees_log_head The checkpoint after the newest changeset.\n\
             ees_log_head 7\n\
             ees_unwatched 1\n\
             ees_http_request_duration_seconds_count{route=\"/streams/{stream_id}\",status=\"2xx\"} 3\n\
             ees_http_request_duration_seconds_count{route=\"/a,b\",status=\"2xx\"} 4\n\
             ees_http_request_duration_seconds_count{route=\"/a\",status=\"4xx\"} 1\n\
             # EOF\n",
        );
        assert_eq!(values(&history, "ees_log_head"), [(None, vec![Some(7.0)])]);
        let of = |status: &str, count| (Some(status.to_owned()), vec![Some(count)]);
        let requests = values(&history, "ees_http_request_duration_seconds_count");
        assert_eq!(requests, [of("2xx", 7.0), of("4xx", 1.0)]);
        assert_eq!(history.tell(&[], None).series.len(), 3);
        assert_eq!(history.tell(&[], Some("4xx")).series.len(), 1);
    }

    #[test]
    fn a_series_has_a_value_for_each_time_whenever_it_began_and_ended() {
        let history = history(10);
        for text in ["ees_log_head 1", "ees_log_bytes 5", "ees_log_head 2"] {
            history.add(Timestamp::now(), text);
        }
        assert_eq!(values(&history, "ees_log_head"), [(None, vec![Some(1.0), None, Some(2.0)])]);
        assert_eq!(values(&history, "ees_log_bytes"), [(None, vec![None, Some(5.0), None])]);
    }

    #[test]
    fn an_hour_is_kept_and_what_is_older_is_gone() {
        let history = history(600);
        history.add(Timestamp::from_micros(0), "ees_log_bytes 1");
        for number in 1..=8 {
            history.add(Timestamp::from_micros(number), &format!("ees_log_head {number}"));
        }
        let told = history.tell(&[], None);
        assert_eq!(told.times, [3, 4, 5, 6, 7, 8].map(Timestamp::from_micros));
        let kept = [3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(Some).to_vec();
        assert_eq!(values(&history, "ees_log_head"), [(None, kept)]);
        assert_eq!(told.series.len(), 1, "a series without a value is gone too");
    }

    #[test]
    fn the_series_are_bounded() {
        let history = history(10);
        let lines: String =
            (0..SERIES_MAX + 10).map(|n| format!("ees_commits_total{{result=\"R{n}\"}} 1\n")).collect();
        history.add(Timestamp::now(), &lines);
        assert_eq!(history.tell(&[], None).series.len(), SERIES_MAX);
    }
}
