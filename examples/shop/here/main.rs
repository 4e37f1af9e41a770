//! `just shop`: the whole shop on this machine, with a receiver for its webhook, until Ctrl-C.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use ees_projector::webhook::{IDEMPOTENCY_KEY, SIGNATURE, verify};
use ees_test_postgres::TestDatabase;
use shop::Failure;
use shop::assembly::Shop;
use shop::front::Front;
use shop::place::Place;
use shop::sold_out::Webhook;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The secret that both sides share. Take yours from the environment, not from the code.
const SECRET: &str = "for this machine only";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt::init();
    let somewhere = Somewhere::find().await?;
    let url = receiver().await?;
    let shop =
        Shop::new(somewhere.place()?.open().await?, Some(Webhook { url, secret: Some(SECRET.to_owned()) }));
    let front = match Front::listen("127.0.0.1:8080", "127.0.0.1:7070").await {
        Ok(front) => front,
        // Another program listens on these ports already.
        Err(_) => Front::listen("127.0.0.1:0", "127.0.0.1:0").await?,
    };
    let (customers, operators) = front.addresses()?;
    println!("the data is in {} and is deleted when this ends", somewhere.name());
    println!("{}", to_try(customers, operators));
    front.serve(&shop).await
}

/// A temporary place for this run.
enum Somewhere {
    Postgres(TestDatabase),
    Sqlite(TempDir),
}

impl Somewhere {
    /// A private PostgreSQL, or files where PostgreSQL is not installed.
    async fn find() -> Result<Self, Failure> {
        match tokio::spawn(TestDatabase::new()).await {
            Ok(database) => Ok(Self::Postgres(database)),
            Err(_) => Ok(Self::Sqlite(tempfile::tempdir()?)),
        }
    }

    fn place(&self) -> Result<Place, Failure> {
        match self {
            Self::Postgres(database) => database.url().parse(),
            Self::Sqlite(folder) => Ok(Place::Sqlite(folder.path().join("log.db"))),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Postgres(database) => database.url().to_owned(),
            Self::Sqlite(folder) => folder.path().display().to_string(),
        }
    }
}

/// Starts a receiver that prints each webhook call. Returns its URL.
async fn receiver() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/sold-out", listener.local_addr()?);
    let router = Router::new().route("/sold-out", post(told));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// Prints a call, if its signature shows that it is from the shop.
async fn told(headers: HeaderMap, body: String) -> StatusCode {
    let header =
        |name: &'static str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (signature, key) = (header(SIGNATURE), header(IDEMPOTENCY_KEY));
    if verify(SECRET, signature, body.as_bytes(), Duration::from_secs(300)).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    println!("the webhook received, with the key {key:.12}...: {body}");
    StatusCode::NO_CONTENT
}

fn to_try(customers: SocketAddr, operators: SocketAddr) -> String {
    format!(
        "\
try, in another terminal:
  curl --json '{{\"count\": 2}}' http://{customers}/products/lamp/restock
  curl --json '{{\"buyer\": \"ada\"}}' http://{customers}/products/lamp/reserve
  curl --json '{{\"buyer\": \"bob\"}}' http://{customers}/products/lamp/reserve
  curl --json '{{\"buyer\": \"eve\"}}' http://{customers}/products/lamp/reserve
  curl 'http://{customers}/products?status=sold_out'
  curl http://{customers}/products/lamp/events
and, as an operator:
  curl http://{operators}/streams/purchase-order%2Flamp%2F4/events
  curl http://{operators}/projections
  curl --json '{{\"reason\": \"to see that the webhook is not called again\"}}' http://{operators}/projections/products/rebuild
it stays open until you press Ctrl-C"
    )
}
