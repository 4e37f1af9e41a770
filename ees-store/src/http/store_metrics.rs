//! What the store counts of its own work, collected at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::EncodedHistogram;
use crate::{EventStore, StoreFigures, WriterFigures};

struct OfStore(Arc<dyn EventStore>);

pub(super) fn register(registry: &mut Registry, store: &Arc<dyn EventStore>) {
    registry.register_collector(Box::new(OfStore(store.clone())));
}

impl fmt::Debug for OfStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfStore")
    }
}

type Count = (&'static str, &'static str, fn(&WriterFigures) -> &AtomicU64);

const COUNTS: [Count; 3] = [
    ("ees_store_changesets", "Changesets that this process has stored", |writer| &writer.changesets),
    ("ees_store_events", "Events that this process has stored", |writer| &writer.events),
    (
        "ees_store_group_retries",
        "Groups of commits that could not be written and were tried again",
        |writer| &writer.retries,
    ),
];

impl Collector for OfStore {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(StoreFigures { writer, connections, set_aside }) = self.0.figures() else { return Ok(()) };
        for (name, help, count) in COUNTS {
            let counter = ConstCounter::new(count(&writer).load(Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let histograms = [
            (
                "ees_store_group_commits",
                "Commits that were written in one transaction, refused ones too",
                EncodedHistogram::of_counts(&writer.group_commits),
            ),
            (
                "ees_store_group_duration_seconds",
                "Time to write a group of commits",
                EncodedHistogram::of_micros(&writer.group_micros),
            ),
        ];
        for (name, help, histogram) in histograms {
            histogram.encode(encoder.encode_descriptor(name, help, None, histogram.metric_type())?)?;
        }
        let help = "Commits by whether the end of their stream was in memory (hit) or was read (miss)";
        let mut family =
            encoder.encode_descriptor("ees_store_tail_lookups", help, None, MetricType::Counter)?;
        if let Some(tails) = &writer.tails {
            for (result, count) in [("hit", &tails.hits), ("miss", &tails.misses)] {
                let count = ConstCounter::new(count.load(Relaxed));
                count.encode(family.encode_family(&[("result", result)])?)?;
            }
        }
        let help = "Connections to the store's database that read, by state";
        let mut family = encoder.encode_descriptor("ees_store_connections", help, None, MetricType::Gauge)?;
        if let Some(connections) = connections {
            for (state, count) in [("busy", connections.busy), ("idle", connections.idle)] {
                ConstGauge::new(count).encode(family.encode_family(&[("state", state)])?)?;
            }
        }
        let help = "Streams that the indexer of this process has set aside (DynamoDB)";
        let gauge =
            encoder.encode_descriptor("ees_store_set_aside_streams", help, None, MetricType::Gauge)?;
        if let Some(count) = set_aside {
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX)).encode(gauge)?;
        }
        Ok(())
    }
}
