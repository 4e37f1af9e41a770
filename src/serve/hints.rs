//! What a person who starts the server wants to know: where the data is, who gets in, what to try.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use super::address::{Access, Callers};
use crate::logging::LogFormat;
use crate::place::Backend;

/// On standard error; into the log when that is for machines.
pub(super) fn show(address: SocketAddr, backend: Backend, access: &Access, log_format: LogFormat) {
    let store = match backend {
        Backend::Sqlite(path) => Backend::Sqlite(absolute(&path)),
        other => other,
    };
    let callers = match access.callers {
        Callers::WithKey => "callers need an API key",
        Callers::ThisMachine => "no API keys: only this machine can connect (EES_API_KEYS lets others in)",
        Callers::Everybody => "INSECURE: no API keys, and everybody who can connect may read and write",
    };
    if log_format == LogFormat::Json {
        tracing::info!(%address, %store, callers, "starting");
        return;
    }
    let url = format!("http://{}", reachable(address));
    let key =
        if access.callers == Callers::WithKey { " -H \"Authorization: Bearer $EES_API_KEY\"" } else { "" };
    // Whoever reads it may have gone: no reason not to serve.
    let _ = writeln!(
        std::io::stderr(),
        "\
data:    {store}
access:  {callers}
docs:    {url}/docs
try:
  curl{key} {url}/streams/account-42 -d '{{\"events\": [{{\"type\": \"opened\", \"owner\": \"ada\"}}]}}'
  curl{key} '{url}/streams/account-42/events?pp=true'
  curl{key} {url}/streams"
    );
}

fn absolute(path: &Path) -> std::path::PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// An address to connect to: all addresses, as the one to listen on, are none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}
