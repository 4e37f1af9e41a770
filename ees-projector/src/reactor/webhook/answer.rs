//! What an answer means.

use std::time::Duration;

use ees_store::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::{Deserialize, Serialize};

use crate::error::BoxError;
use crate::reactor::{PermanentError, RetryAfter};

/// The part of an answer that the ledger keeps.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Status {
    status: u16,
}

/// Decides by the answer: done, retry, or a permanent error.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Result<Status, BoxError> {
    if status.is_success() {
        return Ok(Status { status: status.as_u16() });
    }
    let message = format!("the receiver answered {status}");
    if !passes(status) {
        return Err(PermanentError::because(message).into());
    }
    match headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?)) {
        Some(wait) => Err(RetryAfter { wait, error: message.into() }.into()),
        None => Err(message.into()),
    }
}

fn passes(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                // Some receivers answer this while an earlier attempt with the same key is in progress.
                | StatusCode::CONFLICT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Parses `Retry-After`: seconds, or an HTTP date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    let micros = date.as_microsecond().saturating_sub(Timestamp::now().as_micros());
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{cause_of, is_caused_by};

    fn wait_of(error: &BoxError) -> Option<Duration> {
        cause_of::<RetryAfter>(&**error).map(|postponed| postponed.wait)
    }

    fn judged(status: u16, retry_after: Option<&str>) -> Result<Status, BoxError> {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        judge(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn an_answer_is_done_or_passes_or_is_refused_for_good() {
        assert_eq!(judged(204, None).unwrap(), Status { status: 204 });
        for passes in [408, 409, 425, 429, 500, 503, 599] {
            assert!(!is_caused_by::<PermanentError>(&*judged(passes, None).unwrap_err()), "{passes}");
        }
        for refused in [301, 304, 400, 401, 404, 410, 422] {
            assert!(is_caused_by::<PermanentError>(&*judged(refused, Some("1")).unwrap_err()), "{refused}");
        }
    }

    #[test]
    fn it_is_heeded_when_to_come_again() {
        assert_eq!(wait_of(&judged(429, Some("120")).unwrap_err()), Some(Duration::from_secs(120)));
        assert_eq!(
            wait_of(&judged(503, Some("Sun, 06 Nov 1994 08:49:37 GMT")).unwrap_err()),
            Some(Duration::ZERO)
        );
        let far = wait_of(&judged(503, Some("Fri, 31 Dec 2100 23:59:59 GMT")).unwrap_err()).unwrap();
        assert!(far > Duration::from_secs(365 * 24 * 60 * 60));
        assert_eq!(wait_of(&judged(503, Some("soon")).unwrap_err()), None);
    }
}
