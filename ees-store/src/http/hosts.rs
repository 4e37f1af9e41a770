//! The names under which a server without keys answers.
//!
//! A page of another site can give its own name the address 127.0.0.1 (DNS rebinding). A browser then takes
//! this server for that site. Its requests differ in their `Host` only.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;

use super::Problem;

#[derive(Clone, Debug, Default)]
pub(crate) enum Hosts {
    /// Those of the loopback interface.
    #[default]
    Loopback,
    /// Those of the loopback interface, and these.
    Named(Vec<String>),
    Any,
}

/// A request names its host once.
pub(super) fn check_single(request: &Request) -> Result<(), Problem> {
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Err(Problem::bad_request("INVALID_HEADER", "The header Host is given more than once."));
    }
    Ok(())
}

impl Hosts {
    /// Refuses a request that is meant for another host. One without a name comes from no browser.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let header = request.headers().get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
        let target = request.uri().authority().map(|authority| authority.as_str().into());
        match header.into_iter().chain(target).find(|host| !self.includes(host)) {
            None => Ok(()),
            Some(_) => {
                let message = "Without API keys, this server answers to loopback names (localhost, 127.0.0.1) and \
                               to the names that its setting `hosts` lists. The Host of the request is another.";
                Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "UNKNOWN_HOST", message))
            }
        }
    }

    pub(crate) fn includes(&self, host: &str) -> bool {
        let name = without_port(host);
        match self {
            Self::Any => true,
            _ if is_loopback(name) => true,
            Self::Named(names) => names.iter().any(|known| known.eq_ignore_ascii_case(name)),
            Self::Loopback => false,
        }
    }
}

/// `[::1]:7070` is `::1`. What is not followed by a port is the name of nothing, such as `localhost:1@evil.example`.
fn without_port(host: &str) -> &str {
    let bracketed = host.strip_prefix('[').and_then(|address| address.split_once(']'));
    let (name, rest) = match bracketed {
        Some(parts) => parts,
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let is_port = |rest: &str| {
        rest.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    if rest.is_empty() || is_port(rest) { name } else { host }
}

fn is_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_and_given_ones_are_known() {
        let named = Hosts::Named(vec!["ees.internal".to_owned()]);
        for host in
            ["localhost", "LOCALHOST:7070", "a.localhost", "127.0.0.1:1", "127.9.9.9", "[::1]:7", "[::1]"]
        {
            assert!(Hosts::Loopback.includes(host) && named.includes(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil.example:localhost",
            "localhost:1@evil.example",
            "localhost:@evil.example",
            "[::1]:1@evil.example",
            "10.0.0.1",
            "[::2]",
            "[::1]evil.example",
            "127.0.0.1.evil.example",
            "",
            "notlocalhost",
        ] {
            assert!(
                !Hosts::Loopback.includes(host) && !named.includes(host) && Hosts::Any.includes(host),
                "{host}"
            );
        }
        assert!(named.includes("EES.internal:80") && !Hosts::Loopback.includes("ees.internal"));
    }
}
