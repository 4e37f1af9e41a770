//! Keeps the statistics.

use std::sync::Arc;

use ees_projections::Statistics;
use ees_projector::lambda::Function;
use ees_projector::{OnDemand, Settings};
use ees_store::dynamodb::{Indexing, Options, Store};
use lambda_runtime::Error;

use crate::Environment;

/// Serves a schedule until the runtime ends the process.
///
/// # Errors
/// The table can't be used, or there is no Lambda runtime around it.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let store = Store::open_with(&environment.config, &environment.table, options).await?;
    let statistics =
        OnDemand::fold(Statistics, environment.read_models()?, Arc::new(store), Settings::default())?;
    Function::new(statistics).serve_schedule().await
}
