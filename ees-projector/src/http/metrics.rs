//! What Prometheus is told of projections, as of the moment it asks.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::Handle;
use crate::handle::Glance;

pub(super) fn register(registry: &mut Registry, handle: &Handle) {
    registry.register_collector(Box::new(Projections(handle.clone())));
}

struct Projections(Handle);

impl fmt::Debug for Projections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Projections")
    }
}

type Gauge = (&'static str, &'static str, fn(&Glance) -> f64);

/// Names, what they mean, and how they are read off.
const GAUGES: &[Gauge] = &[
    ("ees_projection_checkpoint", "The checkpoint the projection reads next", |glance| {
        glance.checkpoint.get() as f64
    }),
    ("ees_projection_lag_changesets", "Changesets it is behind", |glance| glance.lag_changesets as f64),
    ("ees_projection_lag_seconds", "Age of the oldest changeset it has not applied", |glance| glance.lag_seconds),
    ("ees_projection_rate", "Changesets a second", |glance| glance.rate),
    ("ees_projection_attempts", "Failures in a row", |glance| f64::from(glance.attempts)),
    ("ees_projection_parked_streams", "Streams that wait because one of their changesets failed", |glance| {
        glance.parked_streams as f64
    }),
    ("ees_projection_paused", "1 while it is paused or stopped", |glance| f64::from(u8::from(glance.halted))),
    ("ees_projection_stalled", "1 while somebody should look: paused, stopped, or behind and not moving", |glance| {
        f64::from(u8::from(glance.stalled))
    }),
];

impl Collector for Projections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let glances = self.0.glance();
        for (name, help, value) in GAUGES {
            let metric_type = ConstGauge::new(0.0).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
            for glance in &glances {
                let labels = [("projection", glance.name.as_str())];
                ConstGauge::new(value(glance)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
