//! The log of this process, on standard error.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text for each entry
    Text,
    /// One JSON object for each entry, for log collectors
    Json,
}

/// Installs the global subscriber.
pub(crate) fn start(filter: &str, format: LogFormat) -> Outcome {
    let filter = EnvFilter::try_new(filter).map_err(|e| Failure::usage(format!("--log {filter:?}: {e}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(Failure::other)
}
