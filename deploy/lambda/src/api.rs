//! The HTTP API behind API Gateway.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayProxyResponse};
use ees_projections::Statistics;
use ees_projector::dynamodb::Database;
use ees_projector::http;
use ees_projector::lambda::Gateway;
use ees_store::EventStore as _;
use ees_store::dynamodb::{Indexing, Options, Store};
use ees_store::http::{Api, ApiKeys, CorsOrigins, Limits, Setting, SettingSource, StatisticsSource};
use lambda_runtime::{Error, LambdaEvent, service_fn};

use crate::environment::{given, is_set, parsed};
use crate::{Environment, calls, projector, publisher};

/// How long a request that waits is held: each second of it is paid. Long enough that a client that comes again at once
/// makes no flood of calls; and the client of the store pauses in between.
const HELD: Duration = Duration::from_secs(2);

/// Serves the API until the runtime ends the process.
///
/// # Errors
/// When a variable of the environment has a value that the function does not know, when the table can't be used, or when the process
/// does not run in a Lambda runtime.
pub async fn serve(environment: &Environment) -> Result<(), Error> {
    let access = Access {
        keys: parsed("EES_API_KEYS")?.unwrap_or_else(ApiKeys::none),
        origins: parsed("EES_CORS_ORIGINS")?,
        without_docs: is_set("EES_NO_DOCS")?,
    };
    let routes = &Routes::new(environment, environment.read_models()?, access).await?;
    let telemetry = environment.telemetry.as_ref();
    let answer = move |call: LambdaEvent<ApiGatewayProxyRequest>| async move {
        let answered = routes.answer(call.payload).await;
        calls::flush(telemetry).await;
        answered
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// Who may call the API.
pub struct Access {
    /// Callers who don't sign need one of these.
    pub keys: ApiKeys,
    /// Pages of these origins may call from a browser. Default of the stack: none.
    pub origins: Option<CorsOrigins>,
    /// Whether nobody gets the description of the API, which needs no key.
    pub without_docs: bool,
}

/// The routes of the stack's API.
pub struct Routes(Gateway);

impl Routes {
    /// Opens the store and creates the routes.
    ///
    /// # Errors
    /// When the table can't be used.
    pub async fn new(
        environment: &Environment,
        read_models: Database,
        access: Access,
    ) -> Result<Self, Error> {
        let Access { keys, origins, without_docs } = access;
        // A function is frozen between two calls, so it leaves indexing to the indexer.
        let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
        let store = Arc::new(Store::open_with(&environment.config, &environment.table, options).await?);
        let counted = Arc::new(Counted(read_models.clone()));
        // The function `projector` runs them.
        let projections = projector::statistics(read_models, store.clone())?.handle();
        let limits = Limits { wait: HELD, ..Limits::for_changesets_of(store.limit_bytes()) };
        let api = || {
            let api =
                Api::new(store.clone(), store.clone()).with_statistics(counted.clone()).with_limits(limits);
            let api = http::install(api, projections.clone());
            let api = match publisher::dead_letters(environment) {
                Some(queue) => {
                    let topics = publisher::topics(environment);
                    http::install_dead_letters(api, queue, topics, store.clone())
                }
                None => api,
            };
            let api = api.with_settings(settings(environment));
            let api = if let Some(origins) = origins.clone() { api.with_cors(origins) } else { api };
            // A browser can't sign its calls, and a function has no event streams.
            let api = api.without_console();
            if without_docs { api.without_docs() } else { api }
        };
        Ok(Self(Gateway::new(api, keys)))
    }

    /// Answers an event of a REST API.
    ///
    /// # Errors
    /// When the event is none that API Gateway makes. Every other failure becomes a response.
    pub async fn answer(&self, event: ApiGatewayProxyRequest) -> Result<ApiGatewayProxyResponse, Error> {
        self.0.answer(event).await
    }
}

/// What operators see of the stack's settings, under the names that `ees serve` has for them.
fn settings(environment: &Environment) -> Vec<Setting> {
    let of_environment = |(name, variable): (&str, &str)| {
        let source = SettingSource::Environment;
        Setting { name: name.to_owned(), value: given(variable), source }
    };
    let store = Setting {
        name: "store".to_owned(),
        value: Some(format!("dynamodb://{}", environment.table)),
        source: SettingSource::Environment,
    };
    let others = [
        ("read-models", "EES_READ_MODELS"),
        ("publish-changesets", "EES_CHANGESETS_TOPIC"),
        ("publish-events", "EES_EVENTS_TOPIC"),
        ("publish-notifications", "EES_NOTIFICATIONS_TOPIC"),
        ("publish-dead-letters", "EES_DEAD_LETTERS"),
        ("cors-origins", "EES_CORS_ORIGINS"),
    ];
    [store].into_iter().chain(others.map(of_environment)).collect()
}

/// The statistics that the function `projector` keeps.
struct Counted(Database);

#[async_trait]
impl StatisticsSource for Counted {
    async fn statistics(&self) -> ees_store::Result<ees_store::Statistics> {
        let (totals, version) = Statistics::read_dynamodb(&self.0).await.map_err(|source| {
            ees_store::Error::Storage { detail: "the statistics can't be read".to_owned(), source }
        })?;
        Ok(ees_store::Statistics {
            total_streams: totals.total_streams,
            total_changesets: totals.total_changesets,
            total_events: totals.total_events,
            max_stream_length: totals.max_stream_length,
            statistics_version: version.get(),
        })
    }
}
