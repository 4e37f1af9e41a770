//! Stores behind a server keep the laws through the client.

mod memory {
    use std::sync::Arc;

    use ees_store::client::Client;
    use ees_store::laws::{Capabilities, Subject};
    use ees_store::{ChangesetLog, EventStore, memory};

    use crate::client::serving::Served;

    struct Remote {
        client: Arc<Client>,
        _served: Served<memory::Store>,
    }

    impl Subject for Remote {
        const CAPABILITIES: Capabilities = Capabilities {
            reopens: false,
            keeps_given_times: false,
            lists_types: false,
            ..Capabilities::ALL
        };

        async fn new() -> Self {
            let served = Served::new().await;
            Self { client: Arc::new(Client::new(&served.url()).unwrap()), _served: served }
        }

        fn store(&self) -> Arc<dyn EventStore> {
            self.client.clone()
        }

        fn log(&self) -> Arc<dyn ChangesetLog> {
            self.client.clone()
        }

        async fn reopen(self) -> Self {
            Self::new().await
        }

        async fn crash(self) -> Self {
            Self::new().await
        }
    }

    ees_store::store_laws!(Remote);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::Arc;

    use ees_store::client::Client;
    use ees_store::laws::{Capabilities, Subject};
    use ees_store::{ChangesetId, ChangesetLog, EventStore, StreamId, sqlite};

    use crate::client::serving::Served;
    use crate::laws::replace_events;

    struct Remote {
        client: Arc<Client>,
        served: Served<sqlite::Store>,
        folder: tempfile::TempDir,
    }

    impl Remote {
        async fn open(folder: tempfile::TempDir) -> Self {
            let store = sqlite::Store::open(folder.path().join("log.db")).unwrap();
            let served = Served::with(store, |api| api).await;
            Self { client: Arc::new(Client::new(&served.url()).unwrap()), served, folder }
        }
    }

    impl Subject for Remote {
        const CAPABILITIES: Capabilities = Capabilities {
            keeps_given_times: false,
            lists_types: false,
            keeps_checksums: true,
            ..Capabilities::ALL
        };

        async fn new() -> Self {
            Self::open(tempfile::tempdir().unwrap()).await
        }

        fn store(&self) -> Arc<dyn EventStore> {
            self.client.clone()
        }

        fn log(&self) -> Arc<dyn ChangesetLog> {
            self.client.clone()
        }

        async fn replace_events(&self, stream_id: &StreamId, id: ChangesetId, events: &str) -> bool {
            replace_events(&self.folder.path().join("log.db"), stream_id, id, events);
            true
        }

        async fn reopen(self) -> Self {
            let Self { client, served, folder } = self;
            drop(client);
            served.stop().await;
            Self::open(folder).await
        }

        /// The writers' own connections break off with the server.
        async fn crash(self) -> Self {
            self.reopen().await
        }
    }

    ees_store::store_laws!(Remote);
}
