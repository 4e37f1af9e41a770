//! A store behind a server keeps the laws through the client.

use std::sync::Arc;

use ees_store::client::Client;
use ees_store::laws::{Capabilities, Subject};
use ees_store::{ChangesetLog, EventStore};

use super::serving::Served;

struct Remote {
    client: Client,
    _served: Served,
}

impl Subject for Remote {
    const CAPABILITIES: Capabilities =
        Capabilities { reopens: false, keeps_given_times: false, ..Capabilities::ALL };

    async fn new() -> Self {
        let served = Served::new().await;
        Self { client: Client::new(&served.url()).unwrap(), _served: served }
    }

    fn store(&self) -> Arc<dyn EventStore> {
        Arc::new(self.client.clone())
    }

    fn log(&self) -> Arc<dyn ChangesetLog> {
        Arc::new(self.client.clone())
    }

    async fn reopen(self) -> Self {
        Self::new().await
    }

    async fn crash(self) -> Self {
        Self::new().await
    }
}

ees_store::store_laws!(Remote);
