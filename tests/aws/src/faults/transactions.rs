//! Transactions as AWS carries them out: they hold their items while they are under way, a call that
//! meets one gets a conflict, and they commit item by item.
//!
//! The emulator knows none of this: a transaction is one moment there. So one that takes its time is tried
//! out there first, without an effect, and then its actions are carried out one after the other. Its items
//! are held meanwhile, against all clients of this process that have a plan of faults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::connector::{Connection, pause};
use super::{Faults, answers};

/// From the first item of a transaction that is committed item by item to the last, at most, besides what the
/// emulator takes.
const COMMITTED_WITHIN: Duration = Duration::from_millis(20);
/// The actions of a transaction, at most.
const ACTIONS_MAX: usize = 100;

/// What is under way in this process, over all plans and accounts.
static UNDER_WAY: LazyLock<Mutex<Held>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Held {
    items: BTreeMap<String, Holders>,
    /// The names of the keys of each table.
    keys: BTreeMap<String, Vec<(String, String)>>,
    /// The tokens of transactions that were carried out.
    tokens: BTreeSet<String>,
}

/// Who is at an item.
#[derive(Default)]
struct Holders {
    /// Writes of one moment: the emulator puts them in order.
    brief: usize,
    is_prepared: bool,
}

fn held() -> MutexGuard<'static, Held> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Items that are held, until each is released.
struct Hold {
    items: Vec<Option<String>>,
    prepared: bool,
}

impl Hold {
    /// Holds all of them, or says which are in the way.
    fn of(items: Vec<String>, prepared: bool) -> Result<Self, Vec<usize>> {
        let mut held = held();
        let is_taken = |item: &String| {
            held.items.get(item).is_some_and(|by| by.is_prepared || (prepared && by.brief > 0))
        };
        let taken: Vec<_> = (0..).zip(&items).filter(|(_, it)| is_taken(it)).map(|(at, _)| at).collect();
        if !taken.is_empty() {
            return Err(taken);
        }
        for item in &items {
            let by = held.items.entry(item.clone()).or_default();
            if prepared { by.is_prepared = true } else { by.brief += 1 }
        }
        Ok(Self { items: items.into_iter().map(Some).collect(), prepared })
    }

    fn release(&mut self, at: usize) {
        let Some(item) = self.items[at].take() else { return };
        let mut held = held();
        let Some(by) = held.items.get_mut(&item) else { return };
        if self.prepared {
            by.is_prepared = false;
        } else {
            by.brief -= 1;
        }
        if by.brief == 0 && !by.is_prepared {
            held.items.remove(&item);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        (0..self.items.len()).for_each(|at| self.release(at));
    }
}

/// What is to happen to the next transactions of a plan, beside its odds.
#[derive(Default)]
pub(super) struct Script {
    conflicts: Mutex<VecDeque<Vec<usize>>>,
    halt: Mutex<Option<Vec<usize>>>,
    is_halted: watch::Sender<bool>,
}

impl Script {
    fn conflict(&self) -> Option<Vec<usize>> {
        self.conflicts.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn halt(&self) -> Option<Vec<usize>> {
        self.halt.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn stand_still(&self) {
        self.is_halted.send_replace(true);
        // We hold the sender, so waiting can't fail.
        let _ = self.is_halted.subscribe().wait_for(|is_halted| !is_halted).await;
    }
}

impl Faults {
    /// Commits transactions item by item, in any order: readers see some of the items before the others.
    /// A call that writes to an item that is still to come, or reads it in a transaction, gets a conflict.
    #[must_use]
    pub fn item_by_item(self, odds: f64) -> Self {
        self.having(|it| it.item_by_item = odds)
    }

    /// Lets each transaction take so long, so that overlapping ones conflict.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        self.having(|it| it.lasting = time)
    }

    /// Lets the next transaction conflict at these actions, counted from 0. Its other actions get the
    /// reasons that they have.
    pub fn conflict_at(&self, actions: &[usize]) {
        let mut conflicts = self.0.script.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        conflicts.push_back(actions.to_vec());
    }

    /// Lets the next transaction that is carried out commit these actions, and stand still before the others
    /// until [`go_on`](Self::go_on).
    pub fn halt_after(&self, actions: &[usize]) {
        *self.0.script.halt.lock().unwrap_or_else(PoisonError::into_inner) = Some(actions.to_vec());
    }

    /// Returns when a transaction stands still.
    pub async fn halted(&self) {
        // We hold the sender, so waiting can't fail.
        let _ = self.0.script.is_halted.subscribe().wait_for(|is_halted| *is_halted).await;
    }

    /// Lets the transaction that stands still go on.
    pub fn go_on(&self) {
        self.0.script.is_halted.send_replace(false);
    }

    /// Some of these many actions, at least one.
    pub(super) fn some_of(&self, actions: usize) -> Vec<usize> {
        self.roll(|rng| {
            let first = rng.usize(..actions.max(1));
            (0..actions).filter(|&at| at == first || rng.u8(..4) == 0).collect()
        })
    }

    fn shuffled(&self, mut actions: Vec<usize>) -> Vec<usize> {
        self.roll(|rng| rng.shuffle(&mut actions));
        actions
    }
}

impl Connection {
    /// A call that writes, or that reads in a transaction.
    pub(super) async fn meet(
        &self,
        operation: &str,
        request: HttpRequest,
        body: &Value,
    ) -> Result<HttpResponse, ConnectorError> {
        let Some(items) = self.items(&request, body).await else { return self.network.call(request).await };
        match operation {
            "TransactWriteItems" => self.transact(request, body, items).await,
            _ => match Hold::of(items, false) {
                Ok(_held) => self.network.call(request).await,
                Err(at) if operation == "TransactGetItems" => self.conflict_at(&request, body, &at).await,
                Err(_) => Ok(answers::conflict()),
            },
        }
    }

    async fn transact(
        &self,
        request: HttpRequest,
        body: &Value,
        items: Vec<String>,
    ) -> Result<HttpResponse, ConnectorError> {
        let token = body["ClientRequestToken"].as_str().map(|token| format!("{}/{token}", account(&request)));
        if token.as_ref().is_some_and(|token| held().tokens.contains(token)) {
            return Ok(answers::done());
        }
        if let Some(at) = self.faults.0.script.conflict() {
            return self.conflict_at(&request, body, &at).await;
        }
        let first = self.faults.0.script.halt();
        let odds = self.faults.0.odds;
        let is_split = first.is_some() || self.faults.roll(|rng| rng.f64() < odds.item_by_item);
        let is_slow = is_split || !odds.lasting.is_zero();
        let hold = match Hold::of(items, is_slow) {
            Ok(hold) => hold,
            Err(at) => return self.conflict_at(&request, body, &at).await,
        };
        let (connection, body) = (self.clone(), body.clone());
        let leaving = self.faults.stay();
        // It goes on when its caller has gone.
        let carried_out = tokio::spawn(async move {
            let _under_way = leaving;
            let mut hold = hold;
            if is_slow && let Err(refused) = connection.try_out(&request, &body).await? {
                return Ok(match refused {
                    Refused::Reasons(reasons) => answers::cancelled(&reasons),
                    Refused::Answer(answer) => *answer,
                });
            }
            pause(odds.lasting).await;
            let answer = if is_split {
                connection.commit_one_by_one(&request, &body, &mut hold, first).await?;
                answers::done()
            } else {
                connection.network.call(request).await?
            };
            if let Some(token) = token.filter(|_| answer.status().is_success()) {
                held().tokens.insert(token);
            }
            Ok(answer)
        });
        carried_out.await.map_err(|failed| ConnectorError::other(failed.into(), None))?
    }

    async fn commit_one_by_one(
        &self,
        request: &HttpRequest,
        body: &Value,
        hold: &mut Hold,
        first: Option<Vec<usize>>,
    ) -> Result<(), ConnectorError> {
        let all = 0..actions(body);
        let pauses = if first.is_some() { Duration::ZERO } else { COMMITTED_WITHIN / all.len() as u32 };
        let halt = first.as_ref().map(Vec::len);
        let first = first.unwrap_or_default();
        let rest = self.faults.shuffled(all.filter(|at| !first.contains(at)).collect());
        for (done, at) in first.into_iter().chain(rest).enumerate() {
            if halt == Some(done) {
                self.faults.0.script.stand_still().await;
            }
            let one = with_body(request, &json!({ "TransactItems": [body["TransactItems"][at]] }));
            let (status, answer) = self.answer(one).await?;
            assert!(status.is_success(), "half a transaction was carried out: {answer}");
            hold.release(at);
            pause(pauses.mul_f64(self.faults.roll(fastrand::Rng::f64))).await;
        }
        Ok(())
    }

    /// The answer to a transaction that conflicts at these actions: the others have the reasons that they
    /// have, since each part of the table tells its own.
    pub(super) async fn conflict_at(
        &self,
        request: &HttpRequest,
        body: &Value,
        at: &[usize],
    ) -> Result<HttpResponse, ConnectorError> {
        let writes = body["TransactItems"][0]["Get"].is_null();
        let reasons = match if writes { self.try_out(request, body).await? } else { Ok(()) } {
            Ok(()) => vec![json!({ "Code": "None" }); actions(body)],
            Err(Refused::Reasons(reasons)) => reasons,
            Err(Refused::Answer(answer)) => return Ok(*answer),
        };
        Ok(answers::conflicting(reasons, at))
    }

    /// Whether a transaction would be carried out now. It is sent with one more action, which always fails.
    async fn try_out(
        &self,
        request: &HttpRequest,
        body: &Value,
    ) -> Result<Result<(), Refused>, ConnectorError> {
        let mut reasons = Vec::new();
        let all = body["TransactItems"].as_array().map_or(&[][..], Vec::as_slice);
        for actions in all.chunks(ACTIONS_MAX - 1) {
            let table = action(&actions[0])["TableName"].clone();
            let mut never = json!({
                "TableName": table,
                "ConditionExpression": "attribute_exists(#never)",
                "ExpressionAttributeNames": { "#never": "never" },
            });
            for (name, kind) in self.keys(request, &table).await? {
                never["Key"][name] = json!({ kind: format!("-{}", fastrand::u32(..)) });
            }
            let actions = actions.iter().cloned().chain([json!({ "ConditionCheck": never })]);
            let tried = json!({ "TransactItems": actions.collect::<Vec<_>>() });
            let (status, mut answer) = self.answer(with_body(request, &tried)).await?;
            let Some(told) = answer["CancellationReasons"].as_array_mut() else {
                return Ok(Err(Refused::Answer(Box::new(answers::instead(status, &answer)))));
            };
            told.pop();
            reasons.append(told);
        }
        let is_refused = reasons.iter().any(|reason| reason["Code"] != "None");
        Ok(if is_refused { Err(Refused::Reasons(reasons)) } else { Ok(()) })
    }

    /// The items that a call is about; `None` if its table is not there.
    async fn items(&self, request: &HttpRequest, body: &Value) -> Option<Vec<String>> {
        let account = account(request);
        let all = body["TransactItems"].as_array().map(|all| all.iter().map(action).collect());
        let mut items = Vec::new();
        for action in all.unwrap_or_else(|| vec![body]) {
            let keys = self.keys(request, &action["TableName"]).await.ok().filter(|keys| !keys.is_empty())?;
            let from = if action["Item"].is_null() { &action["Key"] } else { &action["Item"] };
            let keys: Vec<_> = keys.iter().map(|(name, _)| from[name].to_string()).collect();
            items.push(format!("{account}/{}/{}", action["TableName"], keys.join("/")));
        }
        Some(items)
    }

    /// The keys of a table and their types, none if there is no such table.
    async fn keys(
        &self,
        request: &HttpRequest,
        table: &Value,
    ) -> Result<Vec<(String, String)>, ConnectorError> {
        let name = format!("{}/{table}", account(request));
        if let Some(known) = held().keys.get(&name) {
            return Ok(known.clone());
        }
        let mut describe = with_body(request, &json!({ "TableName": table }));
        describe.headers_mut().insert("x-amz-target", "DynamoDB_20120810.DescribeTable");
        let (_, answer) = self.answer(describe).await?;
        let table = &answer["Table"];
        let kind = |key: &Value| {
            let mut attributes = table["AttributeDefinitions"].as_array().into_iter().flatten();
            let attribute = attributes.find(|attribute| attribute["AttributeName"] == *key)?;
            Some((key.as_str()?.to_owned(), attribute["AttributeType"].as_str()?.to_owned()))
        };
        let keys = table["KeySchema"].as_array().into_iter().flatten();
        let keys: Vec<_> = keys.filter_map(|key| kind(&key["AttributeName"])).collect();
        if !keys.is_empty() {
            held().keys.insert(name, keys.clone());
        }
        Ok(keys)
    }
}

/// Why a transaction would not be carried out.
enum Refused {
    /// One for each action.
    Reasons(Vec<Value>),
    Answer(Box<HttpResponse>),
}

/// The number of actions of a transaction.
pub(super) fn actions(body: &Value) -> usize {
    body["TransactItems"].as_array().map_or(0, Vec::len)
}

/// What an action says, whatever its kind.
fn action(action: &Value) -> &Value {
    action.as_object().and_then(|kinds| kinds.values().next()).unwrap_or(action)
}

/// The access key, by which the emulator tells accounts apart.
fn account(request: &HttpRequest) -> &str {
    let authorization = request.headers().get("authorization").unwrap_or_default();
    authorization.split("Credential=").nth(1).and_then(|it| it.split('/').next()).unwrap_or_default()
}

/// The same request with another body.
pub(super) fn with_body(request: &HttpRequest, body: &Value) -> HttpRequest {
    let mut request = request.try_clone().expect("a body in memory");
    let text = body.to_string();
    request.headers_mut().insert("content-length", text.len().to_string());
    *request.body_mut() = SdkBody::from(text);
    request
}
