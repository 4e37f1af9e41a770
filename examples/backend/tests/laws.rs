//! The store and the read-model database keep the laws of ees.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store {
    use std::sync::Arc;

    use ees_example_backend::Store;
    use ees_store::laws::{Capabilities, Subject};
    use ees_store::{ChangesetLog, EventStore};
    use tempfile::TempDir;

    struct InFile {
        folder: TempDir,
        store: Arc<Store>,
    }

    impl InFile {
        fn open(folder: TempDir) -> Self {
            let limit_bytes = Self::CAPABILITIES.limit_bytes;
            let store = Arc::new(Store::open(folder.path().join("log"), limit_bytes).unwrap());
            Self { folder, store }
        }
    }

    impl Subject for InFile {
        const CAPABILITIES: Capabilities = Capabilities { lists_types: false, ..Capabilities::ALL };

        async fn new() -> Self {
            Self::open(tempfile::tempdir().unwrap())
        }
        fn store(&self) -> Arc<dyn EventStore> {
            self.store.clone()
        }
        fn log(&self) -> Arc<dyn ChangesetLog> {
            self.store.clone()
        }
        async fn reopen(self) -> Self {
            let Self { folder, store } = self;
            drop(store);
            Self::open(folder)
        }
        /// The file as it is at this moment, while others write on, in a folder of its own.
        async fn crash(self) -> Self {
            let copy = tempfile::tempdir().unwrap();
            std::fs::copy(self.folder.path().join("log"), copy.path().join("log")).unwrap();
            Self::open(copy)
        }
    }

    ees_store::store_laws!(InFile);
}

mod database {
    use std::collections::BTreeMap;

    use ees_example_backend::Database;
    use ees_projector::laws::{Capabilities, Subject};
    use tempfile::TempDir;

    struct InFile {
        folder: TempDir,
        database: Database,
    }

    impl InFile {
        fn open(folder: TempDir) -> Self {
            let database = Database::open(folder.path().join("read-models")).unwrap();
            Self { folder, database }
        }
    }

    impl Subject for InFile {
        type Database = Database;
        const CAPABILITIES: Capabilities = Capabilities::ALONE;

        async fn new() -> Self {
            Self::open(tempfile::tempdir().unwrap())
        }
        fn database(&self) -> Database {
            self.database.clone()
        }
        async fn table(&self, name: &str) -> BTreeMap<String, String> {
            self.database.rows(name).await
        }
        async fn reopen(self) -> Self {
            let Self { folder, database } = self;
            drop(database);
            Self::open(folder)
        }
    }

    ees_projector::database_laws!(InFile);
}
