//! The proxy that calls go through, if there is one.

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// The proxy between this machine and a server: the one that the environment names (`HTTP_PROXY`,
/// `HTTPS_PROXY`, `ALL_PROXY`), unless `NO_PROXY` excepts the server. No proxy leads to this machine itself.
///
/// Without the user name and password that it may have.
pub(super) fn before(server: &Url) -> Option<String> {
    if is_this_machine(server.host_str()?) {
        return None;
    }
    let proxy = Matcher::from_system().intercept(&server.as_str().parse().ok()?)?;
    let (scheme, authority) = (proxy.uri().scheme_str()?, proxy.uri().authority()?.as_str());
    let host = authority.rsplit('@').next().unwrap_or(authority);
    Some(format!("{scheme}://{host}"))
}

/// Whether this is a loopback name or address.
pub(super) fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_and_names_are_this_machine() {
        for url in [
            "http://localhost:8080",
            "http://localhost.:8080",
            "http://shop.localhost",
            "http://127.0.0.1:7070",
            "http://127.1.2.3",
            "http://[::1]:7070",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(is_this_machine(Url::parse(url).unwrap().host_str().unwrap()), "{url}");
        }
        for url in ["http://localhost.example", "http://10.0.0.7", "http://mylocalhost", "http://[::2]"] {
            assert!(!is_this_machine(Url::parse(url).unwrap().host_str().unwrap()), "{url}");
        }
    }
}
