//! Who can connect: where the server listens, and whether that is safe.

use std::net::SocketAddr;

use crate::exit::{Failure, Outcome};

/// Where to listen, and who may call then.
pub(super) struct Access {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) callers: Callers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// Whoever has a key.
    WithKey,
    /// Programs on this machine.
    ThisMachine,
    /// Everybody who can connect.
    Everybody,
}

/// Looks the address up. Without keys, only this machine may connect, unless that is explicitly not wanted.
pub(super) async fn access(listen: &str, keys: bool, insecure_bind: bool) -> Outcome<Access> {
    let found = tokio::net::lookup_host(listen).await;
    let addresses: Vec<_> = found.map_err(|e| Failure::usage(format!("--listen {listen}: {e}")))?.collect();
    let loopback = addresses.iter().all(|address| address.ip().is_loopback());
    let callers = match (keys, loopback) {
        (true, _) => Callers::WithKey,
        (false, true) => Callers::ThisMachine,
        (false, false) if insecure_bind => Callers::Everybody,
        (false, false) => {
            return Err(Failure::usage(format!(
                "without API keys everybody who reaches {listen} could read and write: set EES_API_KEYS (`ees api-key` \
                 makes a key), listen on 127.0.0.1, or give --insecure-bind if that is what you want"
            )));
        }
    };
    Ok(Access { addresses, callers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_keys_only_this_machine_gets_in_unless_it_is_said_otherwise() {
        let callers =
            async |listen, keys, insecure| access(listen, keys, insecure).await.ok().map(|it| it.callers);
        assert_eq!(callers("127.0.0.1:0", false, false).await, Some(Callers::ThisMachine));
        assert_eq!(callers("[::1]:0", false, false).await, Some(Callers::ThisMachine));
        assert_eq!(callers("0.0.0.0:0", false, false).await, None);
        assert_eq!(callers("[::]:0", false, false).await, None);
        assert_eq!(callers("0.0.0.0:0", false, true).await, Some(Callers::Everybody));
        assert_eq!(callers("0.0.0.0:0", true, false).await, Some(Callers::WithKey));
        assert_eq!(callers("nonsense", true, false).await, None);
    }
}
