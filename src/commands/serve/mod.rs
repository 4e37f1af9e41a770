//! `ees serve`: the store, its HTTP API and the built-in projections in one process.

mod access;
mod disk;
mod hints;
mod keys;
#[cfg(feature = "sns")]
mod publish;
mod read_models;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use ees_projector::{Projector, Settings};
use ees_store::SharedLog;
use ees_store::http::{Api, CorsOrigins, QuarantineWatch, Server, Setting};

use crate::backend::{Backend, Opened};
use crate::banner::BannerOptions;
use crate::exit::{Failure, Outcome};
use crate::logging::LogFormat;
use crate::retention::Retention;
use crate::signals;
use crate::store_location::StoreLocation;
use crate::telemetry::Telemetry;
use crate::values::{duration, host_name};
use access::Callers;
use keys::Keys;
use read_models::ReadModels;

/// Serve the store, its HTTP API and the built-in projections (the default sub-command)
///
/// Prints `listening on http://...` when it accepts connections. SIGTERM or Ctrl-C stops it after the
/// accepted requests are finished; a second one stops it immediately.
///
/// If OTEL_EXPORTER_OTLP_ENDPOINT names an OpenTelemetry collector, it sends traces and metrics there.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The address to listen on, or a port of 127.0.0.1. With port 0, the system chooses a port
    #[arg(long, env = "EES_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: String,
    #[command(flatten)]
    location: StoreLocation,
    /// Where the read models are: sqlite:FOLDER, or, in builds with that feature,
    /// postgres://USER:PASSWORD@HOST/DATABASE or dynamodb://TABLE?region=REGION, which several servers can
    /// share [default: the PostgreSQL database of the store, or else DATA/read-models]
    // Help never shows the value: it may contain a password.
    #[arg(
        long,
        env = "EES_READ_MODELS",
        value_name = "URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    read_models: Option<String>,
    #[command(flatten)]
    retention: Retention,
    /// How long to keep the audit log of operations on projections, such as 90d or 36h
    #[arg(long, env = "EES_KEEP_AUDIT", value_name = "TIME", value_parser = duration, default_value = "90d")]
    keep_audit: Duration,
    /// When an update of ees brings a new version of a built-in projection, leave out again the changesets
    /// that were skipped in the version before, instead of trying them again
    #[arg(long, env = "EES_KEEP_SKIPS", value_parser = BoolishValueParser::new())]
    keep_skips: bool,
    /// Keep a fingerprint of the rows of each built-in projection, for `ees projections verify --quick`. A projection
    /// that already runs keeps it from its next rebuild on
    #[arg(long, env = "EES_FINGERPRINTS", value_parser = BoolishValueParser::new())]
    fingerprints: bool,
    /// Give bare NaN, Infinity and -Infinity, which another system has stored as numbers, to readers as
    /// texts. By default, a changeset with one of them is quarantined
    #[arg(long, env = "EES_LENIENT_NUMBERS", value_parser = BoolishValueParser::new())]
    lenient_numbers: bool,
    #[command(flatten)]
    keys: Keys,
    /// Accept connections from other machines even without API keys
    #[arg(long, env = "EES_INSECURE_BIND", value_parser = BoolishValueParser::new())]
    insecure_bind: bool,
    /// Without API keys: the names, besides localhost, under which clients on this machine call the server,
    /// separated by commas
    #[arg(long, env = "EES_HOSTS", value_name = "NAMES", value_delimiter = ',', value_parser = host_name)]
    hosts: Vec<String>,
    /// The origins whose pages may call the server from a browser (CORS), separated by commas, such as
    /// https://app.example.com; or *, with API keys only. By default, none may
    #[arg(long, env = "EES_CORS_ORIGINS", value_name = "ORIGINS")]
    cors_origins: Option<CorsOrigins>,
    /// Do not serve /docs and /openapi.json, which otherwise need no API key
    #[arg(long, env = "EES_NO_DOCS", value_parser = BoolishValueParser::new())]
    no_docs: bool,
    /// Do not serve the console, the page at /console/, which otherwise needs no API key
    #[arg(long, env = "EES_NO_CONSOLE", value_parser = BoolishValueParser::new())]
    no_console: bool,
    #[command(flatten)]
    banner: BannerOptions,
    #[cfg(feature = "sns")]
    #[command(flatten)]
    publish: publish::Publish,
    /// What was set, and where, for those who operate the server.
    #[arg(skip)]
    pub(crate) settings: Vec<Setting>,
}

/// Between two samples of the history.
const SAMPLES_APART: Duration = Duration::from_secs(10);

pub(crate) async fn run(arguments: Arguments, log_format: LogFormat) -> Outcome {
    let Arguments { listen, location, read_models, retention, keep_audit, insecure_bind, .. } = arguments;
    let (hosts, no_docs, keep_skips) = (arguments.hosts, arguments.no_docs, arguments.keep_skips);
    let api_keys = arguments.keys.open()?;
    let banner = arguments.banner.banner()?;
    let access = access::access(&listen, api_keys.is_some(), insecure_bind).await?;
    access::check_origins(arguments.cors_origins.as_ref(), access.callers)?;
    let stop_requested = signals::listen()?;
    let server = bind(&listen, &access.addresses).await?;
    let address = server.local_addr().map_err(Failure::other)?;

    let mut telemetry = Telemetry::start();
    let backend = location.backend()?;
    ReadModels::check_log_is_there(read_models.as_deref(), &backend, &location.data)?;
    let Opened { store, log } =
        backend.open(retention).await?.with_lenient_numbers(arguments.lenient_numbers);
    let quarantine = Arc::new(QuarantineWatch::new(log));
    let log = SharedLog::from(quarantine.clone());
    let read_models = ReadModels::open(read_models.as_deref(), &backend, &location.data).await?;
    let mut projector = Projector::new(log.clone());
    let fingerprint = arguments.fingerprints;
    let settings = Settings { keep_audit, keep_skips, fingerprint, ..Settings::default() };
    read_models.register(&mut projector, settings)?;
    #[cfg(feature = "sns")]
    let dead_letters = arguments.publish.register(&mut projector, &read_models, keep_audit).await?;
    let running = projector.start();

    let mut api = Api::new(store.clone(), log)
        .with_quarantine(quarantine)
        .with_statistics(Arc::new(read_models.statistics()))
        .with_stream_list(Arc::new(read_models.stream_list()))
        .with_history(SAMPLES_APART)
        .with_settings(arguments.settings);
    if let Backend::Sqlite(log) = &backend {
        disk::register(api.registry(), log);
    }
    let api = ees_projector::http::install(api, running.handle().clone());
    #[cfg(feature = "sns")]
    let api = match dead_letters {
        Some(dead_letters) => dead_letters.install(api, store.clone()),
        None => api,
    };
    if !hosts.is_empty() && access.callers != Callers::ThisMachine {
        tracing::warn!(
            "--hosts has no effect: with API keys or --insecure-bind, the server answers under every name"
        );
    }
    let api = match (access.callers, api_keys) {
        (Callers::Everyone, _) => api.for_any_host(),
        (_, Some(keys)) => api.with_keys(keys),
        (_, None) => api.with_hosts(hosts),
    };
    let api = if let Some(origins) = arguments.cors_origins { api.with_cors(origins) } else { api };
    let api = if no_docs { api.without_docs() } else { api };
    let api = if arguments.no_console { api.without_console() } else { api };
    let api = if let Some(banner) = banner { api.with_banner(banner) } else { api };
    telemetry.export_metrics(api.scraper());
    hints::show(address, backend, &access, !arguments.no_console, log_format);
    announce(address)?;
    server.serve(api.router(), stop_requested).await;
    running.shut_down().await;
    telemetry.shut_down().await;
    // Dropping the last handle closes the store, after everything accepted is on disk.
    drop(store);
    tracing::info!("stopped");
    Ok(())
}

async fn bind(listen: &str, addresses: &[SocketAddr]) -> Outcome<Server> {
    Server::bind(addresses).await.map_err(|error| {
        let failure = Failure::other(format!("cannot listen on {listen}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => failure.with_hint(
                "another process listens there, perhaps another `ees`: stop it, or choose another port with \
                 --listen",
            ),
            _ => failure.with_hint("choose another address with --listen"),
        }
    })
}

/// Prints the only line on standard output. The server accepts connections from now on.
fn announce(address: SocketAddr) -> Outcome {
    let mut out = std::io::stdout();
    match writeln!(out, "listening on http://{address}").and_then(|()| out.flush()) {
        // A closed output is no reason not to serve.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
        _ => Ok(()),
    }
}
