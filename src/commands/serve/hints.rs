//! Hints for the person who starts the server: where the data is, who can connect, what to try.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::access::{Access, Callers};
use crate::backend::Backend;
use crate::logging::LogFormat;

/// Prints them on standard error, or as a log entry if the log is JSON.
pub(super) fn show(
    address: SocketAddr,
    backend: Backend,
    access: &Access,
    has_console: bool,
    log_format: LogFormat,
) {
    let store = match backend {
        Backend::Sqlite(path) => Backend::Sqlite(absolute(&path)),
        other => other,
    };
    let callers = match access.callers {
        Callers::WithKey => "clients need an API key",
        Callers::ThisMachine => {
            "no API keys: only this machine can connect (set EES_API_KEYS to allow others)"
        }
        Callers::Everyone => "INSECURE: no API keys; everyone who can connect can read and write",
    };
    if log_format == LogFormat::Json {
        tracing::info!(%address, %store, callers, "starting");
        return;
    }
    let url = format!("http://{}", reachable(address));
    let key =
        if access.callers == Callers::WithKey { " -H \"Authorization: Bearer $EES_API_KEY\"" } else { "" };
    let console = if has_console { format!("\nconsole: {url}/console/") } else { String::new() };
    // A closed standard error is no reason not to serve.
    let _ = writeln!(
        std::io::stderr(),
        "\
data:    {store}
access:  {callers}
docs:    {url}/docs{console}
try:
  curl -w '\\n'{key} {url}/streams/account-42 -d '{{\"events\": [{{\"type\": \"opened\", \"owner\": \"ada\"}}]}}'
  curl -w '\\n'{key} '{url}/streams/account-42/events?pp=true'
  curl -w '\\n'{key} {url}/streams"
    );
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// An address that clients can connect to, also if the server listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}
