//! `ees serve`: the store, its API and the ready-made projections in one process.

mod address;
mod hints;
#[cfg(feature = "sns")]
mod publish;
mod read_models;
mod signals;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use ees_projector::Projector;
use ees_store::http::{Api, ApiKeys, Server};

use crate::arguments::time;
use crate::exit::{Failure, Outcome};
use crate::logging::LogFormat;
use crate::place::{Keeping, Opened, Place};
use read_models::ReadModels;

/// Serve the store, its API and the ready-made projections (what `ees` does without a command)
///
/// Prints `listening on http://...` once it answers. SIGTERM and Ctrl-C end it when what was accepted is finished; a
/// second one ends it at once.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The address to listen on; with port 0 the system chooses one
    #[arg(long, env = "EES_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: String,
    #[command(flatten)]
    place: Place,
    /// Where the read models are: sqlite:FOLDER, or postgres://USER:PASSWORD@HOST/DATABASE or
    /// dynamodb://TABLE?region=REGION (in builds with that feature), which several servers may share [default: the
    /// PostgreSQL database of the store, or DATA/read-models]
    // A text, which is never shown: it may hold a password.
    #[arg(
        long,
        env = "EES_READ_MODELS",
        value_name = "URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    read_models: Option<String>,
    #[command(flatten)]
    keeping: Keeping,
    /// How long it is kept what was done to projections, such as 90d or 36h
    #[arg(long, env = "EES_KEEP_AUDIT", value_name = "TIME", value_parser = time, default_value = "90d")]
    keep_audit: Duration,
    /// The keys that callers need, as SCOPES:KEY or SCOPES:sha256=HEX, separated by commas (see `ees api-key`)
    #[arg(
        long,
        env = "EES_API_KEYS",
        value_name = "KEYS",
        hide_env_values = true,
        hide_default_value = true
    )]
    api_keys: Option<String>,
    /// Without keys, let others than this machine in all the same
    #[arg(long, env = "EES_INSECURE_BIND", value_parser = BoolishValueParser::new())]
    insecure_bind: bool,
    #[cfg(feature = "sns")]
    #[command(flatten)]
    publish: publish::Publish,
}

pub(crate) async fn run(arguments: Arguments, log_format: LogFormat) -> Outcome {
    let Arguments { listen, place, read_models, keeping, keep_audit, api_keys, insecure_bind, .. } =
        arguments;
    let api_keys: Option<ApiKeys> = match api_keys {
        Some(keys) => Some(keys.parse().map_err(|e| Failure::usage(format!("--api-keys: {e}")))?),
        None => None,
    };
    let access = address::access(&listen, api_keys.is_some(), insecure_bind).await?;
    let asked_to_stop = signals::listen()?;
    let server = bind(&listen, &access.addresses).await?;
    let address = server.local_addr().map_err(Failure::other)?;

    let backend = place.backend()?;
    let Opened { store, log } = backend.open(keeping).await?;
    let read_models = ReadModels::open(read_models.as_deref(), &backend, &place.data).await?;
    let mut projector = Projector::new(log.clone());
    read_models.register(&mut projector, keep_audit)?;
    #[cfg(feature = "sns")]
    arguments.publish.register(&mut projector, &read_models, keep_audit).await?;
    let running = projector.start();

    let api = Api::new(store.clone(), log).with_statistics(Arc::new(read_models.statistics()));
    let api = ees_projector::http::install(api, running.handle().clone());
    let api = match api_keys {
        Some(keys) => api.with_keys(keys),
        None => api,
    };
    hints::show(address, backend, &access, log_format);
    announce(address)?;
    server.serve(api.router(), asked_to_stop).await;
    running.shut_down().await;
    // The last one closes it, once all that was accepted is on disk.
    drop(store);
    tracing::info!("stopped");
    Ok(())
}

async fn bind(listen: &str, addresses: &[SocketAddr]) -> Outcome<Server> {
    Server::bind(addresses).await.map_err(|e| Failure::other(format!("can't listen on {listen}: {e}")))
}

/// The one line on standard output. From now on connections are taken.
fn announce(address: SocketAddr) -> Outcome {
    let mut out = std::io::stdout();
    match writeln!(out, "listening on http://{address}").and_then(|()| out.flush()) {
        // Nobody reads it: no reason not to serve.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
        _ => Ok(()),
    }
}
