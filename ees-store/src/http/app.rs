//! What all handlers share.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use super::commit_health::CommitHealth;
use super::endpoints::health::LastProbe;
use super::health_check::HealthCheck;
use super::limits::Limits;
use super::metrics::Metrics;
use super::statistics_source::StatisticsSource;
use super::stream_list_source::StreamListSource;
use super::visibility::Visibility;
use crate::{EventStore, SharedLog};

/// What every handler gets.
pub(super) type App = Arc<Inner>;

/// The store, and what the server adds to it.
pub(super) struct Inner {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) log: SharedLog,
    pub(super) statistics: Option<Arc<dyn StatisticsSource>>,
    pub(super) stream_list: Option<Arc<dyn StreamListSource>>,
    pub(super) visibility: Option<Arc<dyn Visibility>>,
    pub(super) health: Vec<Arc<dyn HealthCheck>>,
    pub(super) limits: Limits,
    pub(super) registry: Registry,
    pub(super) metrics: Metrics,
    pub(super) commits: Arc<CommitHealth>,
    pub(super) probe: LastProbe,
}
