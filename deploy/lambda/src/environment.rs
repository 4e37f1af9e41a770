//! The environment variables that the template sets.

use std::env;
use std::fmt::Display;
use std::str::FromStr;

use aws_config::{BehaviorVersion, SdkConfig};
use ees_otlp::Telemetry;
use ees_projector::dynamodb::Database;
use lambda_runtime::Error;

/// The settings of a function.
pub struct Environment {
    /// The handler's name, which is the role of the function.
    pub role: String,
    /// The region, the credentials and the endpoint.
    pub config: SdkConfig,
    /// The name of the log's table.
    pub table: String,
    /// What is sent to an OpenTelemetry collector, if the standard variables name one.
    pub telemetry: Option<Telemetry>,
}

impl Environment {
    /// Reads the environment.
    ///
    /// # Errors
    /// When a variable is missing. The message names it.
    pub async fn load() -> Result<Self, Error> {
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let (role, table) = (variable("_HANDLER")?, variable("EES_TABLE")?);
        let telemetry = Telemetry::from_environment(&format!("ees-{role}")).unwrap_or_else(|invalid| {
            tracing::warn!("no traces are sent: {invalid}");
            None
        });
        Ok(Self { role, config, table, telemetry })
    }

    /// The database of the read models.
    ///
    /// # Errors
    /// When `EES_READ_MODELS` is missing.
    pub fn read_models(&self) -> Result<Database, Error> {
        let client = aws_sdk_dynamodb::Client::new(&self.config);
        Ok(Database::new(client, &variable("EES_READ_MODELS")?))
    }
}

/// A mandatory variable.
pub(crate) fn variable(name: &str) -> Result<String, Error> {
    given(name).ok_or_else(|| format!("the environment variable {name} is not set").into())
}

/// An optional variable that is `true` or `false`.
///
/// # Errors
/// When it is something else.
pub(crate) fn is_set(name: &str) -> Result<bool, Error> {
    match given(name).as_deref() {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(other) => Err(format!("{name} is {other:?}: it must be true or false").into()),
    }
}

/// An optional variable that is more than a text.
///
/// # Errors
/// When it can't be parsed. The message names it.
pub(crate) fn parsed<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>, Error> {
    let parsed = given(name).map(|value| value.parse()).transpose();
    parsed.map_err(|invalid| format!("{name}: {invalid}").into())
}

/// An optional variable. An empty one counts as missing.
pub(crate) fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
