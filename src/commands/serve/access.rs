//! Where the server listens, and who can call it.

use std::borrow::Cow;
use std::net::SocketAddr;

use ees_store::http::CorsOrigins;

use crate::exit::{Failure, Outcome};

pub(super) struct Access {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) callers: Callers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// Clients with an API key.
    WithKey,
    /// Processes on this machine.
    ThisMachine,
    /// Everyone who can connect.
    Everyone,
}

/// Resolves the address. Refuses one that other machines can reach, unless there are keys or `insecure_bind`
/// is set.
pub(super) async fn access(listen: &str, keys: bool, insecure_bind: bool) -> Outcome<Access> {
    let address = with_host(listen);
    let found = tokio::net::lookup_host(&*address).await;
    let addresses: Vec<_> = found
        .map_err(|e| {
            Failure::usage(format!("--listen {listen}: {e}"))
                .with_hint("give an address and a port, such as 127.0.0.1:7070, or a port alone")
        })?
        .collect();
    let loopback = addresses.iter().all(|address| address.ip().is_loopback());
    let callers = match (keys, loopback) {
        (true, _) => Callers::WithKey,
        (false, true) => Callers::ThisMachine,
        (false, false) if insecure_bind => Callers::Everyone,
        (false, false) => {
            return Err(Failure::usage(format!(
                "without API keys, everyone who can reach {listen} could read and write: set EES_API_KEYS \
                 (`ees api-key` creates a key), listen on 127.0.0.1, or use --insecure-bind to allow it"
            )));
        }
    };
    Ok(Access { addresses, callers })
}

/// Refuses to let the pages of every site in where callers need no key: each page that somebody opens here could read
/// and write.
pub(super) fn check_origins(origins: Option<&CorsOrigins>, callers: Callers) -> Outcome {
    if callers != Callers::WithKey && origins.is_some_and(CorsOrigins::are_all) {
        return Err(Failure::usage(
            "--cors-origins *: without API keys, every page that a browser here shows could read and write: set \
             EES_API_KEYS (`ees api-key` creates a key), or name the origins",
        ));
    }
    Ok(())
}

/// A port alone is one of this machine.
fn with_host(listen: &str) -> Cow<'_, str> {
    match listen.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}").into(),
        Err(_) => listen.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_keys_only_this_machine_can_connect_by_default() {
        let callers =
            async |listen, keys, insecure| access(listen, keys, insecure).await.ok().map(|it| it.callers);
        assert_eq!(callers("127.0.0.1:0", false, false).await, Some(Callers::ThisMachine));
        assert_eq!(callers("[::1]:0", false, false).await, Some(Callers::ThisMachine));
        assert_eq!(callers("0.0.0.0:0", false, false).await, None);
        assert_eq!(callers("[::]:0", false, false).await, None);
        assert_eq!(callers("0.0.0.0:0", false, true).await, Some(Callers::Everyone));
        assert_eq!(callers("0.0.0.0:0", true, false).await, Some(Callers::WithKey));
        assert_eq!(callers("0", false, false).await, Some(Callers::ThisMachine));
        assert_eq!(callers("nonsense", true, false).await, None);
    }

    #[test]
    fn pages_of_every_site_need_a_key() {
        let (all, one) = ("*".parse().ok(), "https://app.example.com".parse().ok());
        for callers in [Callers::ThisMachine, Callers::Everyone] {
            assert!(check_origins(all.as_ref(), callers).is_err());
            assert!(check_origins(one.as_ref(), callers).is_ok());
        }
        assert!(check_origins(all.as_ref(), Callers::WithKey).is_ok());
        assert!(check_origins(None, Callers::Everyone).is_ok());
    }
}
