//! Reads the OpenMetrics text format as messages of the protocol: counters as sums, histograms and gauges as
//! they are.

use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    number_data_point,
};

/// The metrics of a text, summed up since `since` and read at `now`, in nanoseconds.
pub(crate) fn parse(text: &str, since: u64, now: u64) -> Vec<Metric> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|it| it.split_once(' ')) {
            families.push(Family { name, kind, help, samples: Vec::new() });
            help = "";
        } else if !line.starts_with('#')
            && let (Some(family), Some(sample)) = (families.last_mut(), Sample::parse(line))
        {
            family.samples.push(sample);
        }
    }
    families.into_iter().filter_map(|family| family.metric(since, now)).collect()
}

struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    samples: Vec<Sample<'a>>,
}

struct Sample<'a> {
    /// With the suffix that says which part of the metric this is.
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Self { name, labels, value })
    }
}

/// The labels up to `}`, and what follows.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &quoted[at + 1..],
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name, value));
    }
}

impl Family<'_> {
    /// `None` without samples, and for kinds that nobody here has.
    fn metric(self, since: u64, now: u64) -> Option<Metric> {
        if self.samples.is_empty() {
            return None;
        }
        let temporality = AggregationTemporality::Cumulative.into();
        let number = |sample: &Sample<'_>, since| NumberDataPoint {
            attributes: attributes(&sample.labels),
            start_time_unix_nano: since,
            time_unix_nano: now,
            value: Some(number_data_point::Value::AsDouble(sample.value)),
            ..Default::default()
        };
        let data = match self.kind {
            "counter" => {
                let totals = self.samples.iter().filter(|sample| sample.name.ends_with("_total"));
                let data_points = totals.map(|sample| number(sample, since)).collect();
                Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic: true })
            }
            "histogram" => Data::Histogram(Histogram {
                data_points: histograms(&self.samples, since, now),
                aggregation_temporality: temporality,
            }),
            "gauge" | "unknown" => {
                let data_points = self.samples.iter().map(|sample| number(sample, 0)).collect();
                Data::Gauge(Gauge { data_points })
            }
            _ => return None,
        };
        let unit = if self.name.ends_with("_seconds") { "s" } else { "" };
        Some(Metric {
            name: self.name.to_owned(),
            description: self.help.trim_end_matches('.').to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Default::default()
        })
    }
}

fn histograms(samples: &[Sample<'_>], since: u64, now: u64) -> Vec<HistogramDataPoint> {
    let mut places = HashMap::new();
    let mut points: Vec<HistogramDataPoint> = Vec::new();
    for sample in samples {
        let labels: Vec<_> = sample.labels.iter().filter(|(name, _)| *name != "le").cloned().collect();
        let at = *places.entry(labels).or_insert_with_key(|labels| {
            points.push(HistogramDataPoint {
                attributes: attributes(labels),
                start_time_unix_nano: since,
                time_unix_nano: now,
                ..Default::default()
            });
            points.len() - 1
        });
        let point = &mut points[at];
        if sample.name.ends_with("_sum") {
            point.sum = Some(sample.value);
        } else if sample.name.ends_with("_count") {
            point.count = sample.value as u64;
        } else if let Some((_, bound)) = sample.labels.iter().find(|(name, _)| *name == "le") {
            // In the text, each bucket counts those below it too.
            let below: u64 = point.bucket_counts.iter().sum();
            point.bucket_counts.push((sample.value as u64).saturating_sub(below));
            point.explicit_bounds.extend(bound.parse::<f64>().ok().filter(|bound| bound.is_finite()));
        }
    }
    points
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    let attribute = |(name, value): &(&str, String)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.clone())) }),
        ..Default::default()
    };
    labels.iter().map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;

    use super::*;

    fn value(point: &NumberDataPoint) -> f64 {
        match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            _ => panic!("{point:?}"),
        }
    }

    #[test]
    fn each_metric_of_a_registry_is_read_with_its_kind_its_labels_and_its_value() {
        let mut registry = Registry::default();
        let commits = Family::<Vec<(String, String)>, Counter>::default();
        let times =
            Family::<Vec<(String, String)>, Histogram>::new_with_constructor(|| Histogram::new([0.5, 1.0]));
        let lag = Gauge::<i64>::default();
        registry.register("ees_commits", "Commits by result", commits.clone());
        registry.register("ees_time_seconds", "Times", times.clone());
        registry.register("ees_lag", "Lag", lag.clone());
        let hostile = "a \"b\"\\ {c}=\"d\", \n e".to_owned();
        commits.get_or_create(&vec![("result".to_owned(), hostile.clone())]).inc_by(3);
        for (route, time) in [("a", 0.25), ("a", 0.75), ("b", 4.0), ("a", 0.3)] {
            times.get_or_create(&vec![("route".to_owned(), route.to_owned())]).observe(time);
        }
        lag.set(-7);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let metrics = parse(&text, 1, 2);

        let named = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
        let Some(Data::Sum(sum)) = &named("ees_commits").data else { panic!("{metrics:?}") };
        assert!(sum.is_monotonic);
        assert_eq!(value(&sum.data_points[0]), 3.0);
        assert_eq!(sum.data_points[0].attributes, attributes(&[("result", hostile)]));
        assert_eq!((sum.data_points[0].start_time_unix_nano, sum.data_points[0].time_unix_nano), (1, 2));
        let Some(Data::Gauge(gauge)) = &named("ees_lag").data else { panic!("{metrics:?}") };
        assert_eq!(value(&gauge.data_points[0]), -7.0);
        let Some(Data::Histogram(histogram)) = &named("ees_time_seconds").data else { panic!("{metrics:?}") };
        assert_eq!(named("ees_time_seconds").unit, "s");
        assert_eq!(histogram.data_points.len(), 2);
        let a = attributes(&[("route", "a".to_owned())]);
        let a = histogram.data_points.iter().find(|point| point.attributes == a).unwrap();
        assert_eq!((a.count, a.sum), (3, Some(1.3)));
        assert_eq!(a.explicit_bounds, [0.5, 1.0]);
        assert_eq!(a.bucket_counts, [2, 1, 0]);
    }
}
