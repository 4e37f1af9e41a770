//! A server on which five things stand still, each for another reason, for somebody who never saw the console.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _, stdin, stdout};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use clap::Parser;
use ees_projector::sqlite::Database;
use ees_projector::webhook::HttpReactor;
use ees_projector::{OnFailure, Parking, Projector, Retry, Settings, reactor};
use ees_store::client::Client;
use ees_store::http::{Api, Banner, Server};
use ees_store::{Commit, EventStore as _, Events, Expectation, SharedLog, sqlite};
use ees_tests::Checked;
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Parser)]
struct Arguments {
    /// Run the projection `stock` on this file, with the log at this URL, until standard input ends.
    #[arg(long, num_args = 2, value_names = ["FILE", "URL"])]
    hold: Option<Vec<String>>,
}

const CUSTOMERS: Checked = Checked { name: "customers", check: |_| Ok(()) };
const STOCK: Checked = Checked { name: "stock", check: |_| Ok(()) };
const ORDERS: Checked = Checked {
    name: "orders",
    check: |event| match event["type"] == "order_placed" && event["price"].is_null() {
        true => Err(format!("the item {} has no price", event["item"])),
        false => Ok(()),
    },
};
const INVOICES: Checked = Checked {
    name: "invoices",
    check: |event| match event["type"] == "invoice_due" && event["currency"] != "EUR" {
        true => Err(format!("the currency {} is unknown", event["currency"])),
        false => Ok(()),
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().hold.as_deref() {
        Some([file, url]) => hold(file, url).await,
        _ => trial().await,
    }
}

/// Another process, which somebody has forgotten.
async fn hold(file: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let mut projector = Projector::new(Arc::new(Client::new(url)?));
    projector.projection(STOCK, Database::open(file)?, Settings::default())?;
    let running = projector.start();
    while running.handle().status(STOCK.name).await?.lag_changesets > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("running");
    tokio::task::spawn_blocking(|| stdin().lines().count()).await?;
    running.shut_down().await;
    Ok(())
}

async fn trial() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log.db");
    let store = restored(folder.path(), &log).await?;
    commit(&store, "order/1007", r#"[{"type":"order_placed","item":"lamp"}]"#).await?;
    commit(&store, "invoice/31", r#"[{"type":"invoice_due","currency":"XBT","amount":12}]"#).await?;
    commit(&store, "mail/4", r#"[{"type":"mail_due","to":"ada@example.com"}]"#).await?;
    for number in 1_008..1_028 {
        commit(&store, &format!("order/{number}"), r#"[{"type":"order_placed","item":"cup","price":5}]"#)
            .await?;
    }

    let log = SharedLog::from(store.clone());
    let inner = Server::bind("127.0.0.1:0").await?;
    let inner_url = format!("http://{}", inner.local_addr()?);
    let api = Api::new(store.clone(), log.clone()).without_console().router();
    tokio::spawn(inner.serve(api, std::future::pending()));
    let file = |name: &str| folder.path().join(format!("{name}.db"));
    let mut holder = holder(&file(STOCK.name), &inner_url)?;

    let endpoint = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let retry = Retry { times: 2, delay_min: Duration::from_millis(50), ..Retry::default() };
    let parking = Parking { retry_after_min: HOUR, ..Parking::default() };
    let settings = Settings { retry, ..Settings::default() };
    let parks = Settings { on_failure: OnFailure::Park(parking), ..settings };
    let of_reactor =
        reactor::Settings { start: reactor::Start::Beginning, parking, ..reactor::Settings::default() };
    let mails = HttpReactor::<Value>::new("mails", format!("http://{endpoint}/mails"))
        .when(|cause| cause.event["type"] == "mail_due");
    let mut projector = Projector::new(log.clone());
    projector.projection(ORDERS, Database::open(file(ORDERS.name))?, settings)?;
    projector.projection(INVOICES, Database::open(file(INVOICES.name))?, parks)?;
    projector.projection(CUSTOMERS, Database::open(file(CUSTOMERS.name))?, settings)?;
    projector.projection(STOCK, Database::open(file(STOCK.name))?, settings)?;
    projector.reactor(mails, Database::open(file("mails"))?, of_reactor)?;
    let running = projector.start();
    let api = Api::new(store.clone(), log).with_banner(Banner::new("TRIAL", "purple")?);
    let api = ees_projector::http::install(api, running.handle().clone());
    let server = Server::bind("127.0.0.1:0").await?;
    println!("http://{}/console/", server.local_addr()?);
    println!("Something stands still. What, why, and which event is to blame? Get everything going again.");
    println!("You may do here what the console can't: `mails` brings the server for mails back.");
    stdout().flush()?;
    tokio::spawn(server.serve(api.router(), std::future::pending()));

    let (said, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || stdin().lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref().map(str::trim) {
                Some("mails") => {
                    let mails = Router::new().route("/mails", post(async || StatusCode::NO_CONTENT));
                    tokio::spawn(Server::bind(endpoint).await?.serve(mails, std::future::pending()));
                    println!("The server for mails is back.");
                }
                Some(_) => {}
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    running.shut_down().await;
    drop(holder.stdin.take());
    holder.wait()?;
    Ok(())
}

/// A store that was restored from a backup which lacks what `customers` has read.
async fn restored(folder: &Path, log: &Path) -> Result<Arc<sqlite::Store>, Box<dyn Error>> {
    let store = sqlite::Store::open(log)?;
    for number in 1..21 {
        commit(&store, &format!("customer/{number}"), r#"[{"type":"customer_came"}]"#).await?;
    }
    drop(store);
    let backup = folder.join("backup.db");
    std::fs::copy(log, &backup)?;

    let store = Arc::new(sqlite::Store::open(log)?);
    for number in 21..26 {
        commit(&store, &format!("customer/{number}"), r#"[{"type":"customer_came"}]"#).await?;
    }
    let mut projector = Projector::new(store.clone());
    let customers = Database::open(folder.join(format!("{}.db", CUSTOMERS.name)))?;
    projector.projection(CUSTOMERS, customers, Settings::default())?;
    let running = projector.start();
    while running.handle().status(CUSTOMERS.name).await?.checkpoint.get() < 25 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.shut_down().await;
    drop(store);
    std::fs::copy(&backup, log)?;
    Ok(Arc::new(sqlite::Store::open(log)?))
}

/// Starts the process that has the claim of `stock`.
fn holder(file: &Path, url: &str) -> Result<Child, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--hold").arg(file).arg(url).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(told) = child.stdout.take() {
        BufReader::new(told).read_line(&mut String::new())?;
    }
    Ok(child)
}

async fn commit(store: &sqlite::Store, stream: &str, events: &str) -> Result<(), Box<dyn Error>> {
    let commit = Commit::new(stream.parse()?, Expectation::NewStream, Events::parse(events)?);
    store.commit(commit).await?;
    Ok(())
}
