//! A projection that does nothing, for tests of a worker's parts.

use std::sync::Arc;

use crate::error::BoxError;
use crate::event::Recorded;
use crate::memory;
use crate::projection::Projection;
use crate::settings::Settings;
use crate::worker::core::Core;
use crate::worker::processor::projection::ProjectionAdapter;

struct Idle;

impl Projection<memory::Tx> for Idle {
    type Event = serde_json::Value;
    fn name(&self) -> &str {
        "idle"
    }
    fn prefers_large_batches(&self) -> bool {
        true
    }
    async fn create_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, Self::Event>, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The core of its worker.
pub(super) fn core(log: Arc<ees_store::memory::Store>) -> Core<memory::Database> {
    Core::new(Arc::new(ProjectionAdapter::new(Idle)), memory::Database::new(), log, Settings::default())
}
