//! A shared log keeps the laws of the log that is shared.

use std::sync::Arc;

use ees_store::laws::{Capabilities, Subject};
use ees_store::{ChangesetLog, EventStore, SharedLog, memory};

struct Shared(Arc<memory::Store>, SharedLog);

impl Subject for Shared {
    const CAPABILITIES: Capabilities =
        Capabilities { reopens: false, reads_segments: true, ..Capabilities::ALL };

    async fn new() -> Self {
        let store = Arc::new(memory::Store::with_limit_bytes(Self::CAPABILITIES.limit_bytes));
        Self(store.clone(), SharedLog::from(store))
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        Arc::new(self.1.clone())
    }

    async fn reopen(self) -> Self {
        Self::new().await
    }

    async fn crash(self) -> Self {
        Self::new().await
    }
}

ees_store::store_laws!(Shared);
