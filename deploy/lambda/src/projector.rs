//! Updates the statistics.

use std::sync::Arc;
use std::time::Duration;

use ees_projections::Statistics;
use ees_projector::dynamodb::Database;
use ees_projector::lambda::{Function, deadline};
use ees_projector::{OnDemand, RegisterError, Settings};
use ees_store::ChangesetLog;
use ees_store::dynamodb::{Indexing, Options, Store};
use lambda_runtime::{Error, LambdaEvent};
use serde_json::Value;

use crate::environment::variable;
use crate::{Environment, calls};

/// The time to finish a running step and to report the lag.
const MARGIN: Duration = Duration::from_secs(10);

/// Serves the schedule until the runtime ends the process.
///
/// # Errors
/// When the table can't be used, or when the process does not run in a Lambda runtime.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let store = Store::open_with(&environment.config, &environment.table, options).await?;
    let log: Arc<dyn ChangesetLog> = Arc::new(store);
    let stack = &variable("EES_STACK")?;
    let statistics = statistics(environment.read_models()?, log)?;
    let dimensions = [("Stack", stack.clone()), ("Projection", statistics.name().to_owned())];
    let function = &Function::new(statistics).with_metrics(dimensions);
    calls::serve(environment, |call: LambdaEvent<Value>| {
        function.on_schedule(deadline(&call.context, MARGIN))
    })
    .await
}

/// The statistics, which this function keeps and the API shows and operates.
///
/// # Errors
/// None: what is registered is valid. The type says so only at run time.
pub(crate) fn statistics(
    read_models: Database,
    log: Arc<dyn ChangesetLog>,
) -> Result<OnDemand, RegisterError> {
    OnDemand::fold(Statistics, read_models, log, Settings::default())
}
