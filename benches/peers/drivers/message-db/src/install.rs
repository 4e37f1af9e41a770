//! Installs Message DB, as its `install.sh` does.

use std::path::PathBuf;

use peers_workload::Task;
use peers_workload::postgres::connect;

/// Without the views and privileges, which nothing here uses.
const FILES: [&str; 20] = [
    "roles/message-store",
    "schema/message-store",
    "extensions/pgcrypto",
    "tables/messages",
    "types/message",
    "functions/message-store-version",
    "functions/hash-64",
    "functions/acquire-lock",
    "functions/category",
    "functions/is-category",
    "functions/id",
    "functions/cardinal-id",
    "functions/stream-version",
    "functions/write-message",
    "functions/get-stream-messages",
    "functions/get-category-messages",
    "functions/get-last-stream-message",
    "indexes/messages-id",
    "indexes/messages-stream",
    "indexes/messages-category",
];

pub(crate) async fn install(task: &Task) {
    let folder = PathBuf::from(std::env::var("PEERS_MESSAGE_DB").expect("the runner sets PEERS_MESSAGE_DB"));
    let client = connect(&task.database).await;
    // So its functions find each other.
    client.batch_execute("SET search_path TO message_store, public").await.unwrap();
    for file in FILES {
        let sql = std::fs::read_to_string(folder.join("database").join(file).with_extension("sql")).unwrap();
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}
