//! The HTTP layer between the SDK and the network.

use std::io;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::Value;

use super::transactions::{actions, with_body};
use super::{Fate, Faults, Moment, answers};

/// Executes a plan of faults.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    network: SharedHttpClient,
    faults: Faults,
}

impl Connector {
    pub(crate) fn client(faults: Faults) -> SharedHttpClient {
        SharedHttpClient::new(Self { network: aws_smithy_http_client::Builder::new().build_http(), faults })
    }
}

impl HttpClient for Connector {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let network = self.network.http_connector(settings, components);
        SharedHttpConnector::new(Connection { network, faults: self.faults.clone() })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) network: SharedHttpConnector,
    pub(super) faults: Faults,
}

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connection = self.clone();
        HttpConnectorFuture::new(async move { connection.serve(request).await })
    }
}

impl Connection {
    async fn serve(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (is_dynamodb, operation) = operation(&request);
        self.faults.calls().count(&operation);
        let body = request.body().bytes().filter(|_| is_dynamodb);
        let body = body.and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
        self.faults.calls().count_actions(&operation, actions(&body));
        match self.faults.0.death.next_call() {
            None => {}
            Some(Moment::BeforeTheCall) => self.faults.0.death.come().await,
            Some(Moment::AfterTheAnswer) => {
                if let Ok(mut answer) = self.carry_out(is_dynamodb, &operation, request, body).await {
                    let _ = ByteStream::new(answer.take_body()).collect().await;
                }
                self.faults.0.death.come().await;
            }
        }
        let Some(_under_way) = self.faults.leave() else { return Err(broken()) };
        if !is_dynamodb {
            return self.network.call(request).await;
        }
        let fate = self.faults.fate(&operation);
        pause(self.faults.delay()).await;
        let served = match fate {
            Fate::Served => self.carry_out(is_dynamodb, &operation, request, body).await,
            Fate::Throttled => Ok(answers::throttled(&operation, actions(&body))),
            Fate::Conflict if actions(&body) > 0 => {
                self.conflict_at(&request, &body, &self.faults.some_of(actions(&body))).await
            }
            Fate::Conflict => Ok(answers::conflict()),
            Fate::Failed => Ok(answers::failed()),
            Fate::Unreached => Err(broken()),
            Fate::Lost => {
                let mut answer = self.carry_out(is_dynamodb, &operation, request, body).await?;
                let _ = ByteStream::new(answer.take_body()).collect().await;
                Err(broken())
            }
        };
        self.faults.0.silence.keep(&operation).await;
        pause(self.faults.delay()).await;
        served
    }

    async fn carry_out(
        &self,
        is_dynamodb: bool,
        operation: &str,
        request: HttpRequest,
        body: Value,
    ) -> Result<HttpResponse, ConnectorError> {
        if !is_dynamodb {
            return self.network.call(request).await;
        }
        match operation {
            "TransactWriteItems" if self.faults.0.small.refuses(actions(&body)) => Ok(answers::too_large()),
            "TransactWriteItems" => match self.faults.0.full.actions(&body) {
                full if full.is_empty() => self.meet(operation, request, &body).await,
                full => Ok(answers::full(actions(&body), &full)),
            },
            "TransactGetItems" | "PutItem" | "UpdateItem" | "DeleteItem" => {
                self.meet(operation, request, &body).await
            }
            "BatchGetItem" if self.faults.leaves_unprocessed() => {
                let (first, rest) = halves(body);
                let (status, mut answer) = self.answer(with_body(&request, &first)).await?;
                if status.is_success() {
                    answer["UnprocessedKeys"] = rest;
                }
                Ok(answers::instead(status, &answer))
            }
            // In these tests only global indexes are read without consistency.
            "Query" if !body["IndexName"].is_null() && body["ConsistentRead"] != true => {
                let (status, mut answer) = self.answer(request).await?;
                if let Some(items) = answer["Items"].as_array_mut() {
                    items.retain(|item| !self.faults.is_late(&item.to_string()));
                    answer["Count"] = Value::from(items.len());
                }
                Ok(answers::instead(status, &answer))
            }
            _ => self.network.call(request).await,
        }
    }

    /// Reads the whole answer, so that the call has been executed.
    pub(super) async fn answer(
        &self,
        request: HttpRequest,
    ) -> Result<(aws_smithy_runtime_api::http::StatusCode, Value), ConnectorError> {
        let mut response = self.network.call(request).await?;
        let body = ByteStream::new(response.take_body()).collect().await;
        let body = body.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
        Ok((response.status(), serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// The operation of a request, and whether it is one of DynamoDB. Newer services name it in a header, SNS in
/// a form.
fn operation(request: &HttpRequest) -> (bool, String) {
    let target = request.headers().get("x-amz-target").and_then(|target| target.split_once('.'));
    if let Some((service, operation)) = target {
        return (service.starts_with("DynamoDB_"), operation.to_owned());
    }
    let form = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
    let action = form.split('&').find_map(|field| field.strip_prefix("Action="));
    (false, action.unwrap_or_default().to_owned())
}

/// Splits a request: one for the first half of the keys, at least one, and the rest.
fn halves(mut body: Value) -> (Value, Value) {
    let mut rest = Value::Object(serde_json::Map::new());
    for (table, request) in body["RequestItems"].as_object_mut().into_iter().flatten() {
        let Some(keys) = request["Keys"].as_array_mut() else { continue };
        let left = keys.split_off(keys.len().div_ceil(2));
        if !left.is_empty() {
            rest[table] = request.clone();
            rest[table]["Keys"] = Value::from(left);
        }
    }
    (body, rest)
}

pub(super) async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

fn broken() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())
}
