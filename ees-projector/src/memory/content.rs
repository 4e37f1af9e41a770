//! What the database keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use ees_store::StreamId;

use super::{Projections, Rows, effects, leases, parked, timers};
use crate::projection_state::AuditEntry;
use crate::read_model_id::ReadModelId;

/// What each read model has, by its name. Under no name: the tables that no read model has made.
#[derive(Clone, Default)]
pub(super) struct Content(BTreeMap<String, Arc<Part>>);

/// What one read model has.
#[derive(Clone, Default)]
pub(super) struct Part {
    pub(super) tables: BTreeMap<String, Rows>,
    /// Its row, and those of its partitions.
    pub(super) projections: Projections,
    pub(super) leases: leases::Leases,
    pub(super) parked: BTreeMap<StreamId, parked::Waiting>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) effects: effects::Effects,
    pub(super) timers: timers::Timers,
}

impl Content {
    pub(super) fn of(&self, model: &str) -> Arc<Part> {
        self.0.get(model).cloned().unwrap_or_default()
    }

    pub(super) fn of_mut(&mut self, model: &str) -> &mut Part {
        Arc::make_mut(self.0.entry(model.to_owned()).or_default())
    }

    pub(super) fn set(&mut self, model: &str, part: Arc<Part>) {
        self.0.insert(model.to_owned(), part);
    }

    /// The name of the live read model that has a table. Their tables share one space of names.
    pub(super) fn live_with(&self, table: &str) -> Option<&str> {
        let mut live = self.0.iter().filter(|(name, _)| !ReadModelId::is_reserved(name));
        live.find(|(_, part)| part.tables.contains_key(table)).map(|(name, _)| name.as_str())
    }
}
