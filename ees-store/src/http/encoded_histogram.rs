//! A histogram of the store or of a projection as a metric for Prometheus.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::Histogram;

/// A [`Histogram`] as a metric of a registry.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHistogram<'a> {
    histogram: &'a Histogram,
    unit: f64,
}

impl<'a> EncodedHistogram<'a> {
    /// A histogram of things that are counted.
    pub fn of_counts(histogram: &'a Histogram) -> Self {
        Self { histogram, unit: 1.0 }
    }

    /// A histogram of times in microseconds, told in seconds.
    pub fn of_micros(histogram: &'a Histogram) -> Self {
        Self { histogram, unit: 1e-6 }
    }
}

impl EncodeMetric for EncodedHistogram<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let end = |end: Option<u64>| end.map_or(f64::INFINITY, |end| end as f64 * self.unit);
        let buckets: Vec<_> =
            self.histogram.buckets().map(|(ends_at, count)| (end(ends_at), count)).collect();
        // Of the same moment as the buckets.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.histogram.sum() as f64 * self.unit, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
