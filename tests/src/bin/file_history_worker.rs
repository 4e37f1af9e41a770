//! Runs the read models of the file history in PostgreSQL, until it is stopped.

use std::error::Error;
use std::sync::Arc;

use clap::Parser;
use ees_projector::Projector;
use ees_projector::postgres::Database;
use ees_store::client::Client;
use ees_store::{ChangesetLog, postgres};
use ees_tests::read_models::register;

#[derive(Parser)]
struct Arguments {
    /// The log: `postgres://...` directly, `http://...` through a server.
    #[arg(long)]
    log: String,
    /// The database of the read models.
    #[arg(long)]
    read_models: String,
    /// The version of the projection of the files.
    #[arg(long, default_value_t = 1)]
    version: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { log, read_models, version } = Arguments::parse();
    let database = Database::connect(&read_models).await?;
    let log: Arc<dyn ChangesetLog> = if log.starts_with("http") {
        Arc::new(Client::new(&log)?)
    } else {
        Arc::new(postgres::Store::connect(&log).await?)
    };
    let mut projector = Projector::new(log);
    register(&mut projector, &database, version)?;
    let running = projector.start();
    tokio::signal::ctrl_c().await?;
    running.shut_down().await;
    Ok(())
}
