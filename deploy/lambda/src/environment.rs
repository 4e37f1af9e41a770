//! Where everything is: the variables that the template sets.

use std::env;

use aws_config::{BehaviorVersion, SdkConfig};
use ees_projector::dynamodb::Database;
use lambda_runtime::Error;

/// What a function is told about the stack.
pub struct Environment {
    /// The handler's name, which says what the function is for.
    pub role: String,
    /// The region, the credentials and the endpoint.
    pub config: SdkConfig,
    /// The table of the log.
    pub table: String,
}

impl Environment {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable is missing; which one is said.
    pub async fn load() -> Result<Self, Error> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        Ok(Self { role: variable("_HANDLER")?, config, table: variable("EES_TABLE")? })
    }

    /// The table of the read models.
    ///
    /// # Errors
    /// The variable is missing.
    pub fn read_models(&self) -> Result<Database, Error> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        Ok(Database::new(client, &variable("EES_READ_MODELS")?))
    }
}

/// A variable that has to be there.
pub(crate) fn variable(name: &str) -> Result<String, Error> {
    given(name).ok_or_else(|| format!("the environment variable {name} is missing").into())
}

/// A variable that may be left out, or empty.
pub(crate) fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
