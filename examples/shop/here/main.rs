//! `just shop`: all of it on this machine, with somebody who is told of what is sold out, until Ctrl-C.

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

/// What both sides know. Yours comes from the environment, not from the code.
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
        // Something else is there already.
        Err(_) => Front::listen("127.0.0.1:0", "127.0.0.1:0").await?,
    };
    let (customers, operators) = front.addresses()?;
    println!("everything is in {}, and gone when this ends", somewhere.name());
    println!("{}", to_try(customers, operators));
    front.serve(&shop).await
}

/// A place for this once.
enum Somewhere {
    Postgres(TestDatabase),
    Sqlite(TempDir),
}

impl Somewhere {
    /// A PostgreSQL of our own, or files where there is none to be had.
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

/// Somebody who is told, and prints it. Where they are.
async fn receiver() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/sold-out", listener.local_addr()?);
    let router = Router::new().route("/sold-out", post(told));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// What it is told, if it is the shop that tells.
async fn told(headers: HeaderMap, body: String) -> StatusCode {
    let header =
        |name: &'static str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (signature, key) = (header(SIGNATURE), header(IDEMPOTENCY_KEY));
    if verify(SECRET, signature, body.as_bytes(), Duration::from_secs(300)).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    println!("the webhook was told, under the key {key:.12}...: {body}");
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
  curl --json '{{\"reason\": \"to see that nobody is told again\"}}' http://{operators}/projections/products/rebuild
it stays open until you press Ctrl-C"
    )
}
