//! Parsers for values that several sub-commands take.

use std::net::Ipv6Addr;
use std::time::Duration;

use ees_store::Timestamp;

use crate::exit::{Failure, Outcome};

/// A number of seconds, such as `10` or `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// A duration with its unit, such as `7d`, `36h` or `90 s`. A day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::Span = text.parse().map_err(|_| "expected a duration such as 7d or 36h".to_owned())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|e| e.to_string())?;
    Duration::try_from(duration).map_err(|_| "a duration cannot be negative".to_owned())
}

/// A moment: an RFC 3339 time, or how long ago it was, such as `2h` or `7d`.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    match (text.parse(), duration(text)) {
        (Ok(time), _) => Ok(time),
        (Err(_), Ok(ago)) => Ok(Timestamp::now().earlier_by(ago)),
        (Err(_), Err(_)) => {
            Err("expected an RFC 3339 time such as 2026-11-26T10:00:00Z, or how long ago, such as 2h or 7d"
                .to_owned())
        }
    }
}

/// A name as the `Host` of a request has it, but without a port.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_address = name.parse::<Ipv6Addr>().is_ok();
    if name.is_empty() || !is_address && name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return Err("--hosts takes names without port, such as ees.internal".to_owned());
    }
    Ok(name.to_owned())
}

/// The text itself, or the contents of a file for `@FILE`, or standard input for `-`.
pub(crate) fn text_or_file(value: &str) -> Outcome<String> {
    match (value, value.strip_prefix('@')) {
        ("-", _) => {
            std::io::read_to_string(std::io::stdin()).map_err(|e| Failure::file("standard input", &e))
        }
        (_, Some(path)) => std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e)),
        (text, None) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_without_port() {
        for (text, name) in [("ees.internal", "ees.internal"), (" a.test ", "a.test"), ("fd00::1", "fd00::1")]
        {
            assert_eq!(host_name(text).as_deref(), Ok(name));
        }
        for text in
            ["ees.internal:7070", "https://ees.internal", "ees.internal/", "", " ", "a b", "[fd00::1]:80"]
        {
            assert!(host_name(text).is_err_and(|why| why.contains("without port")), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        assert_eq!(moment("2026-11-26T10:00:00Z"), Ok("2026-11-26T10:00:00Z".parse().unwrap()));
        let (before, two_hours) = (Timestamp::now(), Duration::from_secs(7_200));
        let found = moment("2h").unwrap();
        assert!(found >= before.earlier_by(two_hours) && found <= Timestamp::now().earlier_by(two_hours));
        for text in ["2026-11-26", "2026-11-26T10:00:00", "yesterday", "7", "-2h", ""] {
            assert!(moment(text).is_err_and(|why| why.contains("RFC 3339")), "{text}");
        }
    }

    #[test]
    fn a_duration_needs_a_unit() {
        for (text, seconds) in
            [("7d", 604_800), ("36h", 129_600), ("90 s", 90), ("1d 12h", 129_600), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["7", "", "soon", "-1d", "1 month"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
