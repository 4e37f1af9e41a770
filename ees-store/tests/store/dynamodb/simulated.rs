//! A table in memory whose calls take as long as on AWS, and whose transactions conflict when they overlap.
//!
//! The emulator takes longer for a transaction than AWS, and carries out one after the other. So what several
//! indexers reach in a second is measured here. It knows the calls of an indexer, and no others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::Config;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use ees_test_aws::Account;
use serde_json::{Map, Value, json};

/// How long a read takes, and a transaction that is refused.
const READ: Duration = Duration::from_millis(5);

#[derive(Clone, Debug)]
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
    transaction: Duration,
}

#[derive(Debug, Default)]
struct State {
    items: HashMap<String, Map<String, Value>>,
    /// What a transaction is about to write.
    held: HashSet<String>,
    units: Units,
}

/// What was billed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    /// Of the table, two for each action of a transaction, carried out or not.
    pub(crate) table: usize,
    /// Of the index over the order, by its partition key.
    pub(crate) index: BTreeMap<u64, usize>,
    pub(crate) read: usize,
    /// Transactions that write, and how many of them were refused.
    pub(crate) transactions: (usize, usize),
}

impl Simulated {
    /// An empty table of the newest format whose transactions take so long.
    pub(crate) fn new(transaction: Duration) -> Self {
        Self { state: Arc::default(), transaction }
    }

    pub(crate) fn config(&self) -> Config {
        let config: Config = (&Account::of("http://127.0.0.1:1").sdk_config()).into();
        config.to_builder().http_client(self.clone()).build()
    }

    pub(crate) fn units(&self) -> Units {
        self.state().units.clone()
    }

    /// A changeset that has no place yet.
    pub(crate) fn add(&self, stream: &str) {
        let key = json!({ "stream_id": { "S": stream }, "changeset_id": { "N": "1" } });
        self.state().items.insert(name(&key), key.as_object().unwrap().clone());
    }

    /// The places that were given out.
    pub(crate) fn places(&self) -> Vec<u64> {
        let number =
            |item: &Map<String, Value>, name: &str| item.get(name)?["N"].as_str()?.parse::<u64>().ok();
        let place =
            |item: &Map<String, Value>| Some(number(item, "page")? * 1_000 + number(item, "page_item")?);
        let mut places: Vec<_> = self.state().items.values().filter_map(place).collect();
        places.sort_unstable();
        places
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn answer(&self, operation: &str, body: Value) -> HttpResponse {
        let actions: Vec<Value> = body["TransactItems"].as_array().cloned().unwrap_or_default();
        let actions: Vec<_> =
            actions.iter().map(|it| it.as_object().unwrap().values().next().unwrap().clone()).collect();
        match operation {
            "DescribeTable" => response(200, &described()),
            "Scan" => response(200, &json!({ "Items": [], "Count": 0, "ScannedCount": 0 })),
            "GetItem" => {
                tokio::time::sleep(READ).await;
                self.state().units.read += 1;
                response(200, &json!({ "Item": self.state().items.get(&name(&body["Key"])) }))
            }
            "BatchGetItem" => {
                tokio::time::sleep(READ).await;
                let keys = body["RequestItems"]["log"]["Keys"].as_array().unwrap();
                let mut state = self.state();
                state.units.read += keys.len();
                let found: Vec<_> = keys.iter().filter_map(|key| state.items.get(&name(key))).collect();
                response(200, &json!({ "Responses": { "log": found } }))
            }
            "TransactGetItems" => {
                tokio::time::sleep(READ).await;
                let mut state = self.state();
                state.units.read += 2 * actions.len();
                let keys: Vec<_> = actions.iter().map(|it| name(&it["Key"])).collect();
                let taken = |key| if state.held.contains(key) { "TransactionConflict" } else { "None" };
                let codes: Vec<_> = keys.iter().map(taken).collect();
                if codes.iter().any(|code| *code != "None") {
                    return cancelled(&codes);
                }
                let found: Vec<_> = keys.iter().map(|key| json!({ "Item": state.items.get(key) })).collect();
                response(200, &json!({ "Responses": found }))
            }
            "TransactWriteItems" => self.transact(&actions).await,
            other => panic!("{other} is not simulated"),
        }
    }

    async fn transact(&self, actions: &[Value]) -> HttpResponse {
        let key = |action: &Value| {
            if action["Item"].is_null() { name(&action["Key"]) } else { name(&action["Item"]) }
        };
        let keys: Vec<_> = actions.iter().map(key).collect();
        let codes: Vec<_> = {
            let mut state = self.state();
            state.units.table += 2 * actions.len();
            state.units.transactions.0 += 1;
            let code = |(key, action): (&String, &Value)| match () {
                () if state.held.contains(key) => "TransactionConflict",
                () if holds(state.items.get(key), action) => "None",
                () => "ConditionalCheckFailed",
            };
            let codes: Vec<_> = keys.iter().zip(actions).map(code).collect();
            if codes.iter().all(|code| *code == "None") {
                state.held.extend(keys.iter().cloned());
            } else {
                state.units.transactions.1 += 1;
            }
            codes
        };
        if codes.iter().any(|code| *code != "None") {
            tokio::time::sleep(READ).await;
            return cancelled(&codes);
        }
        tokio::time::sleep(self.transaction).await;
        let mut state = self.state();
        for (key, action) in keys.iter().zip(actions) {
            let item = state.items.entry(key.clone()).or_default();
            if let Some(put) = action["Item"].as_object() {
                item.clone_from(put);
            } else {
                update(item, action);
            }
            let stripe = item.get("stripe").and_then(|it| it["N"].as_str()?.parse().ok());
            if let Some(stripe) = stripe {
                *state.units.index.entry(stripe).or_default() += 1;
            }
            state.held.remove(key);
        }
        response(200, &json!({}))
    }
}

impl HttpClient for Simulated {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Simulated {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap().split_once('.').unwrap().1.to_owned();
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let simulated = self.clone();
        HttpConnectorFuture::new(async move { Ok(simulated.answer(&operation, body).await) })
    }
}

/// The conditions of an indexer: attributes that are there or not, and that have a value.
fn holds(item: Option<&Map<String, Value>>, action: &Value) -> bool {
    let attribute = |stand_in: &str| item?.get(action["ExpressionAttributeNames"][stand_in].as_str()?);
    let condition = action["ConditionExpression"].as_str().unwrap();
    condition.split(" AND ").all(|one| {
        let inside = |function| Some(one.strip_prefix(function)?.trim_matches(['(', ')']));
        match (inside("attribute_exists"), inside("attribute_not_exists"), one.split_once(" = ")) {
            (Some(name), ..) => attribute(name).is_some(),
            (_, Some(name), _) => attribute(name).is_none(),
            (.., Some((name, value))) => attribute(name) == Some(&action["ExpressionAttributeValues"][value]),
            _ => panic!("{one} is not simulated"),
        }
    })
}

fn update(item: &mut Map<String, Value>, action: &Value) {
    let sets = action["UpdateExpression"].as_str().unwrap().strip_prefix("SET ").unwrap();
    for (name, value) in sets.split(", ").map(|set| set.split_once(" = ").unwrap()) {
        let name = action["ExpressionAttributeNames"][name].as_str().unwrap();
        item.insert(name.to_owned(), action["ExpressionAttributeValues"][value].clone());
    }
}

fn name(key: &Value) -> String {
    format!("{}/{}", key["stream_id"]["S"], key["changeset_id"]["N"])
}

fn described() -> Value {
    let index = |name: &str, hash: &str, range: &str, projection: &str| {
        let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
        let keys = [key(hash, "HASH"), key(range, "RANGE")];
        json!({ "IndexName": name, "KeySchema": keys, "Projection": { "ProjectionType": projection } })
    };
    json!({ "Table": {
        "KeySchema": index("", "stream_id", "changeset_id", "")["KeySchema"],
        "LocalSecondaryIndexes": [
            index("LastEventId", "stream_id", "last_event_id", "KEYS_ONLY"),
            index("IdempotencyKey", "stream_id", "idempotency_key", "KEYS_ONLY"),
        ],
        "GlobalSecondaryIndexes": [index("EnumerationIndex", "stripe", "page_item", "ALL")],
    } })
}

fn cancelled(codes: &[&str]) -> HttpResponse {
    let reasons: Vec<_> = codes.iter().map(|code| json!({ "Code": code })).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    response(400, &json!({ "__type": kind, "Message": codes.join(", "), "CancellationReasons": reasons }))
}

fn response(status: u16, body: &Value) -> HttpResponse {
    let mut response =
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body.to_string()));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}
