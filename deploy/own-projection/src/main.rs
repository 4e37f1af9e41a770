//! An example of your own projection next to the event store's stack: the current files of a file history, in
//! PostgreSQL.
//!
//! A queue wakes the function; the changesets come from the log in DynamoDB. `template.yaml` deploys it.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use ees_projector::lambda::Function;
use ees_projector::{Fold, OnDemand, Order, Recorded, Settings, postgres};
use ees_store::dynamodb::{Indexing, Options, Store};
use lambda_runtime::Error;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(tag = "type")]
enum FileEvent {
    #[serde(rename = "file_added")]
    Added(File),
    #[serde(rename = "file_changed")]
    Changed(File),
    #[serde(rename = "file_deleted")]
    Deleted,
}

#[derive(Clone, Serialize, Deserialize)]
struct File {
    mode: String,
    blob: String,
}

/// The files that exist: a row for each path.
struct Files;

impl Fold for Files {
    type Event = FileEvent;
    type Key = String;
    type State = File;

    fn name(&self) -> &str {
        "files"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, FileEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, _: Option<File>, event: Recorded<'_, FileEvent>) -> Option<File> {
        match event.event {
            FileEvent::Added(file) | FileEvent::Changed(file) => Some(file.clone()),
            FileEvent::Deleted => None,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    // The stack's indexer gives changesets their checkpoints.
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let log = Store::open_with(&config, &std::env::var("EES_TABLE")?, options).await?;
    let database = postgres::Database::connect(&std::env::var("DATABASE_URL")?).await?;
    let files = OnDemand::fold(Files, database, Arc::new(log), Settings::default())?;
    Function::new(files).serve_messages().await
}
