//! The store in memory keeps the laws.

use std::sync::Arc;

use ees_store::laws::{Capabilities, Subject};
use ees_store::{ChangesetLog, EventStore, memory};

struct Memory(Arc<memory::Store>);

impl Subject for Memory {
    const CAPABILITIES: Capabilities =
        Capabilities { reopens: false, reads_segments: true, ..Capabilities::ALL };

    async fn new() -> Self {
        Self(Arc::new(memory::Store::with_limit_bytes(Self::CAPABILITIES.limit_bytes)))
    }

    fn store(&self) -> Arc<dyn EventStore> {
        self.0.clone()
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        self.0.clone()
    }

    async fn reopen(self) -> Self {
        Self::new().await
    }

    async fn crash(self) -> Self {
        Self::new().await
    }
}

ees_store::store_laws!(Memory);
