//! The routes of the shop.

use std::num::NonZeroU32;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use ees_aggregate::{Context, ExecuteError, Metadata};
use ees_store::{EventId, StreamId, StreamQuery, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::assembly::Shop;
use crate::problem::Problem;
use crate::product::{NAME_BYTES_MAX, Product, ProductCommand, Refusal, stream_of};
use crate::products::{Listed, Wanted};

type Answer<T> = Result<Json<T>, Problem>;

/// The shop as a router. It works behind a socket, behind API Gateway, or called by a test.
pub fn app(shop: Shop) -> Router {
    Router::new()
        .route("/products", get(list))
        .route("/products/{name}", get(product))
        .route("/products/{name}/events", get(events))
        .route("/products/{name}/restock", post(restock))
        .route("/products/{name}/reserve", post(reserve))
        .route("/products/{name}/pay", post(pay))
        .with_state(shop)
}

/// The body of a restock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delivery {
    count: NonZeroU32,
}

async fn restock(
    State(shop): State<Shop>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(Delivery { count }): Json<Delivery>,
) -> Answer<Product> {
    execute(&shop, &name, &ProductCommand::Restock { count }, &headers, Metadata::new()).await
}

/// The body of a reservation and of a payment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Buyer {
    buyer: String,
}

async fn reserve(
    State(shop): State<Shop>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(Buyer { buyer }): Json<Buyer>,
) -> Answer<Product> {
    let metadata = Metadata::new().user(buyer_named(&buyer)?);
    execute(&shop, &name, &ProductCommand::Reserve { buyer }, &headers, metadata).await
}

async fn pay(
    State(shop): State<Shop>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(Buyer { buyer }): Json<Buyer>,
) -> Answer<Product> {
    let metadata = Metadata::new().user(buyer_named(&buyer)?);
    execute(&shop, &name, &ProductCommand::Pay { buyer }, &headers, metadata).await
}

/// The longest name of a buyer, in bytes. It is the key of a timer.
const BUYER_BYTES_MAX: usize = 100;

fn buyer_named(buyer: &str) -> Result<&str, Problem> {
    let is_name = (1..=BUYER_BYTES_MAX).contains(&buyer.len()) && !buyer.contains(char::is_control);
    let why = || format!("a buyer's name has 1 to {BUYER_BYTES_MAX} bytes, and no control characters");
    if is_name { Ok(buyer) } else { Err(Problem::Invalid(why())) }
}

/// Executes a command, once for each `Idempotency-Key`: a caller that lost the answer sends the same key
/// again.
async fn execute(
    shop: &Shop,
    name: &str,
    command: &ProductCommand,
    headers: &HeaderMap,
    metadata: Metadata,
) -> Answer<Product> {
    let stream = stream(name)?;
    let mut context = Context::new().with_metadata(metadata);
    if let Some(key) = headers.get("Idempotency-Key") {
        let key = key.to_str().ok().and_then(|key| key.parse().ok());
        context = context
            .with_key(key.ok_or_else(|| Problem::Invalid("the Idempotency-Key is invalid".to_owned()))?);
    }
    match shop.products.execute_with(&stream, command, context).await {
        Ok(executed) => Ok(Json(executed.aggregate.state)),
        Err(ExecuteError::AlreadyExecuted { .. }) => load(shop, &stream).await,
        Err(error) => Err(error.into()),
    }
}

/// The current state of a product, from its stream. The list follows a moment later.
async fn product(State(shop): State<Shop>, Path(name): Path<String>) -> Answer<Product> {
    load(&shop, &stream(&name)?).await
}

async fn load(shop: &Shop, stream: &StreamId) -> Answer<Product> {
    let loaded = shop.products.load(stream).await?.ok_or(Refusal::Unknown)?;
    Ok(Json(loaded.state))
}

/// A page of products: `?status=sold_out` filters, `?after=NAME` returns the next page.
async fn list(State(shop): State<Shop>, Query(wanted): Query<Wanted>) -> Answer<Vec<Listed>> {
    shop.place.read_models.products(wanted).await.map(Json).map_err(Problem::Busy)
}

/// The query for events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    from: u64,
}

/// The number of changesets on a page of events.
const PAGE: usize = 100;

/// A page of a product's events.
#[derive(Serialize)]
struct Events {
    events: Vec<Happened>,
    /// The first changeset of the next page, if there is one.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Happened {
    event_id: u64,
    at: Timestamp,
    /// The event as it is stored.
    event: Box<RawValue>,
}

async fn events(
    State(shop): State<Shop>,
    Path(name): Path<String>,
    Query(Since { from }): Query<Since>,
) -> Answer<Events> {
    let query = StreamQuery::events(stream(&name)?, EventId::new(from), None).with_limit(PAGE);
    let page = shop.place.store.read_stream(query).await?;
    let mut events = Vec::new();
    for changeset in &page.changesets {
        let numbered = changeset.numbered_events().map_err(|e| Problem::Internal(e.into()))?;
        let wanted = numbered.filter(|(event_id, _)| event_id.get() >= from);
        for (event_id, text) in wanted {
            let event = RawValue::from_string(text.to_owned()).map_err(|e| Problem::Internal(e.into()))?;
            events.push(Happened { event_id: event_id.get(), at: changeset.timestamp, event });
        }
    }
    let last = page.changesets.last().map(|changeset| changeset.last_event_id().get());
    Ok(Json(Events { events, next: page.next.and(last).map(|last| last + 1) }))
}

fn stream(name: &str) -> Result<StreamId, Problem> {
    let why = || format!("a product's name has 1 to {NAME_BYTES_MAX} bytes, and no control characters");
    stream_of(name).ok_or_else(|| Problem::Invalid(why()))
}
