//! What a call of AWS's SDK failed with, in words.

use std::error::Error;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// What went wrong: in the service's own words where it has said something (`NotFound: Topic does not exist`), otherwise with
/// all causes. Nothing of the request is in it, and nothing of what the SDK knows besides.
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
    fn the_service_s_words_are_told_or_all_causes() {
        let said = ErrorMetadata::builder().code("NotFound").message("Topic does not exist").build();
        let said: SdkError<ErrorMetadata, ()> = SdkError::service_error(said, ());
        assert_eq!(told(&said), "NotFound: Topic does not exist");
        let broken = ConnectorError::io(io::Error::other("the cable").into());
        let broken: SdkError<ErrorMetadata, ()> = SdkError::dispatch_failure(broken);
        assert_eq!(told(&broken), "dispatch failure: io error: the cable");
    }
}
