//! What all clients of AWS's SDK share: how long an attempt may take, and what a call failed with, in words.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;

/// How long one attempt at a call may take by default.
///
/// The SDK by itself limits the time to connect only: on a connection that was silently dropped, an attempt
/// would wait as long as the operating system does, some 15 minutes.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The time-outs of a client whose attempts are bounded: those given, and [`ATTEMPT_MAX`] for an attempt if
/// they have no limit for it.
///
/// ```
/// # use ees_store::aws::{ATTEMPT_MAX, bounded_attempts};
/// assert_eq!(bounded_attempts(None).operation_attempt_timeout(), Some(ATTEMPT_MAX));
/// ```
pub fn bounded_attempts(given: Option<&TimeoutConfig>) -> TimeoutConfig {
    let given = given.cloned().unwrap_or_else(TimeoutConfig::disabled);
    let attempt = given.operation_attempt_timeout().unwrap_or(ATTEMPT_MAX);
    given.into_builder().operation_attempt_timeout(attempt).build()
}

/// What went wrong: in the service's own words where it has said something
/// (`NotFound: Topic does not exist`), otherwise with all causes. Nothing of the request is in it, and
/// nothing of what the SDK knows besides.
pub fn told<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    if let Some(answer) = error.as_service_error() {
        let code = answer.code().unwrap_or("an error without a code");
        return answer.message().map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"));
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    #[test]
    fn an_attempt_is_bounded_as_the_client_says_or_by_five_seconds() {
        let attempt = |given| bounded_attempts(Some(&given)).operation_attempt_timeout();
        let second = Duration::from_secs(1);
        let own = TimeoutConfig::builder().operation_attempt_timeout(second).build();
        assert_eq!(attempt(own), Some(second));
        let other = TimeoutConfig::builder().connect_timeout(second).build();
        assert_eq!(attempt(other.clone()), Some(ATTEMPT_MAX));
        assert_eq!(bounded_attempts(Some(&other)).connect_timeout(), Some(second));
    }

    #[test]
    fn the_service_s_words_are_told_or_all_causes() {
        let said = ErrorMetadata::builder().code("NotFound").message("Topic does not exist").build();
        let said: SdkError<ErrorMetadata, ()> = SdkError::service_error(said, ());
        assert_eq!(told(&said), "NotFound: Topic does not exist");
        let broken = ConnectorError::io(io::Error::other("the cable").into());
        let broken: SdkError<ErrorMetadata, ()> = SdkError::dispatch_failure(broken);
        assert_eq!(told(&broken), "dispatch failure: io error: the cable");
    }
}
