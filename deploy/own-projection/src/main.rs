//! An example of your own projection next to the event store's stack: the current files of a file history, in
//! PostgreSQL or in DynamoDB.
//!
//! A queue wakes the function; the changesets come from the log in DynamoDB. Operators call it through API Gateway.
//! `template.yaml` deploys it.

mod secret;

use std::sync::Arc;

use aws_config::BehaviorVersion;
use ees_projector::lambda::Function;
use ees_projector::{Fold, OnDemand, OnFailure, Order, Parking, Recorded, Settings, dynamodb, postgres};
use ees_store::ChangesetLog;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_store::http::ApiKeys;
use lambda_runtime::Error;
use secret::Secret;
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
    let on_failure = match variable("ON_FAILURE").as_deref() {
        Ok("park") => OnFailure::Park(Parking::default()),
        Ok("pause") | Err(_) => OnFailure::Pause,
        Ok(other) => return Err(format!("ON_FAILURE is {other:?}: it must be pause or park").into()),
    };
    let settings = Settings { on_failure, ..Settings::default() };
    // Operators who don't sign their requests need one of these.
    let keys: ApiKeys = variable("EES_API_KEYS")
        .map_or_else(|_| Ok(ApiKeys::none()), |keys| keys.parse())
        .map_err(|invalid| format!("EES_API_KEYS: {invalid}"))?;
    // What the template's alarms look at. Lambda sets the variable.
    let name = variable("AWS_LAMBDA_FUNCTION_NAME")?;
    let function = |files: OnDemand| {
        let function = Function::new(files).with_operators(keys.clone());
        function.with_metrics([("Function", name.clone())])
    };

    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    // The stack's indexer gives changesets their checkpoints.
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let store = Store::open_with(&config, &variable("EES_TABLE")?, options).await?;
    let log: Arc<dyn ChangesetLog> = Arc::new(store);

    if let Ok(table) = variable("READ_MODELS") {
        let database = dynamodb::Database::new(aws_sdk_dynamodb::Client::new(&config), &table);
        return function(OnDemand::fold(Files, database, log, settings)?).serve_messages().await;
    }
    let url = variable("DATABASE_URL")?;
    let Ok(secret) = variable("DATABASE_SECRET") else {
        let database = postgres::Database::connect(&url).await?;
        return function(OnDemand::fold(Files, database, log, settings)?).serve_messages().await;
    };
    let url =
        url.parse().map_err(|error| format!("DATABASE_URL must be postgres://HOST/DATABASE: {error}"))?;
    let secret = Arc::new(Secret::new(&config, secret, url));
    let database = postgres::Database::connect(secret.url().await?.as_str()).await?;
    let pool = database.pool().clone();
    let function = function(OnDemand::fold(Files, database, log, settings)?);
    // The password may be another one by the next call.
    let renew = move || {
        let (secret, pool) = (secret.clone(), pool.clone());
        async move { secret.renew(&pool).await }
    };
    function.with_after_each(renew).serve_messages().await
}

/// A variable of the environment. The template leaves those empty that are not given.
fn variable(name: &str) -> Result<String, String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("the environment variable {name} is not set"))
}
