//! The projections' metrics for Prometheus, collected at each scrape.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use ees_store::http::EncodedHistogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::worker::figures::Figures;
use crate::{EffectCounts, Handle, Kind, StandbyStatus, State, Status};

pub(super) fn register(registry: &mut Registry, handle: &Handle) {
    registry.register_collector(Box::new(Projections(handle.clone())));
}

/// What is kept for an hour: see [`Api::with_history_of`](ees_store::http::Api::with_history_of).
pub(super) const WITH_HISTORY: [&str; 6] = [
    "ees_projection_checkpoint",
    "ees_projection_lag_changesets",
    "ees_projection_lag_seconds",
    "ees_projection_parked_streams",
    "ees_reactor_waiting_streams",
    "ees_reactor_given_up_streams",
];

struct Projections(Handle);

impl fmt::Debug for Projections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Projections")
    }
}

/// The name of a metric, its help text, and its value.
type Gauge<T> = (&'static str, &'static str, fn(&T) -> f64);

const OF_LIVE: &[Gauge<Status>] = &[
    ("ees_projection_checkpoint", "The checkpoint that the projection reads next", |status| {
        status.checkpoint.get() as f64
    }),
    ("ees_projection_lag_changesets", "Changesets that the projection is behind the log", |status| {
        status.lag_changesets as f64
    }),
    (
        "ees_projection_lag_seconds",
        "Age of the oldest changeset that the projection has not applied",
        |status| status.lag_seconds,
    ),
    (
        "ees_projection_events_recognized",
        "Events that were the projection's since this process started",
        |status| status.events.recognized as f64,
    ),
    (
        "ees_projection_events_passed_over",
        "Events that were somebody else's since this process started",
        |status| status.events.passed_over as f64,
    ),
    (
        "ees_projection_events_unreadable",
        "Events of the projection's types that could not be read since this process started",
        |status| status.events.unreadable as f64,
    ),
    ("ees_projection_rate", "Changesets applied per second", |status| status.rate),
    ("ees_projection_attempts", "Failures in a row", |status| {
        f64::from(status.last_error.as_ref().map_or(0, |error| error.attempts))
    }),
    (
        "ees_projection_parked_streams",
        "Streams that are parked because one of their changesets failed",
        |status| status.parked_streams as f64,
    ),
    ("ees_projection_paused", "1 while the projection is paused or stopped", |status| is_still(status.state)),
    (
        "ees_projection_stalled",
        "1 while the projection needs attention: paused, stopped, or behind and not moving",
        |status| f64::from(u8::from(status.stalled.is_some())),
    ),
];

const OF_REACTOR: &[Gauge<Status>] = &[
    ("ees_reactor_waiting_streams", "Streams that are parked because an effect failed", |status| {
        status.parked_streams as f64
    }),
    (
        "ees_reactor_given_up_streams",
        "Of the parked streams, those that are not retried any more: an operator must retry or discard them",
        |status| status.given_up_streams as f64,
    ),
];

const COUNTS: &[Gauge<EffectCounts>] = &[
    ("ees_reactor_effects_done", "Effects done since this process started", |effects| effects.done as f64),
    ("ees_reactor_effects_failed", "Attempts of effects that failed since this process started", |effects| {
        effects.failed as f64
    }),
];

const OF_STANDBY: &[Gauge<StandbyStatus>] = &[
    ("ees_projection_standby_checkpoint", "The checkpoint that the standby reads next", |standby| {
        standby.checkpoint.get() as f64
    }),
    ("ees_projection_standby_rate", "Changesets that the standby applies per second", |standby| standby.rate),
    ("ees_projection_standby_paused", "1 while the standby is paused or stopped", |standby| {
        is_still(standby.state)
    }),
];

/// The name of a histogram, its help text, and its values.
type Distribution = (&'static str, &'static str, fn(&Figures) -> EncodedHistogram<'_>);

const HISTOGRAMS: [Distribution; 2] = [
    (
        "ees_projection_batch_changesets",
        "Changesets of each step that succeeded, also those that it passed over",
        |figures| EncodedHistogram::of_counts(&figures.batch_changesets),
    ),
    (
        "ees_projection_step_duration_seconds",
        "Time of each step that succeeded and had changesets",
        |figures| EncodedHistogram::of_micros(&figures.step_micros),
    ),
];

fn is_still(state: State) -> f64 {
    f64::from(u8::from(matches!(state, State::Paused | State::Stopped)))
}

impl Collector for Projections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let statuses = self.0.glance();
        let live: Vec<_> = statuses.iter().map(|status| (status.name.as_str(), status)).collect();
        let standby =
            statuses.iter().filter_map(|status| Some((status.name.as_str(), status.standby.as_ref()?)));
        encode(&mut encoder, OF_LIVE, &live)?;
        let reactors = live.iter().filter(|(_, status)| status.kind == Kind::Reactor);
        encode(&mut encoder, OF_REACTOR, &reactors.copied().collect::<Vec<_>>())?;
        let counts = live.iter().filter_map(|(name, status)| Some((*name, status.effects.as_ref()?)));
        encode(&mut encoder, COUNTS, &counts.collect::<Vec<_>>())?;
        encode(&mut encoder, OF_STANDBY, &standby.collect::<Vec<_>>())?;
        for (name, help, histogram) in HISTOGRAMS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (projection, running) in self.0.all() {
                let labels = [("projection", projection)];
                histogram(running.status.figures()).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Steps that failed and were tried again since this process started";
        let mut family =
            encoder.encode_descriptor("ees_projection_retries", help, None, MetricType::Counter)?;
        for (projection, running) in self.0.all() {
            let retries = ConstCounter::new(running.status.figures().retries.load(Relaxed));
            retries.encode(family.encode_family(&[("projection", projection)])?)?;
        }
        self.encode_connections(&mut encoder)
    }
}

impl Projections {
    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Connections to the projection's database, which it may share with others, by state";
        let name = "ees_projection_connections";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (projection, running) in self.0.all() {
            let Some(connections) = running.workers.connections() else { continue };
            for (state, count) in [("busy", connections.busy), ("idle", connections.idle)] {
                let labels = [("projection", projection), ("state", state)];
                ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode<T>(encoder: &mut DescriptorEncoder<'_>, gauges: &[Gauge<T>], all: &[(&str, &T)]) -> fmt::Result {
    for (name, help, value) in gauges {
        let metric_type = ConstGauge::new(0.0).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
        for (projection, status) in all {
            let labels = [("projection", *projection)];
            ConstGauge::new(value(status)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
