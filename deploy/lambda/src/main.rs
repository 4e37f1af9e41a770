//! One binary, deployed as several AWS Lambda functions. The name of the handler selects the role.

use ees_lambda::{Environment, api, indexer, projector, publisher};
use lambda_runtime::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let environment = Environment::load().await?;
    match environment.role.as_str() {
        "api" => api::serve(&environment).await,
        "indexer" => indexer::serve(&environment).await,
        "publisher" => publisher::serve(&environment).await,
        "projector" => projector::serve(&environment).await,
        other => {
            Err(format!("unknown handler \"{other}\": it must be api, indexer, publisher or projector")
                .into())
        }
    }
}
