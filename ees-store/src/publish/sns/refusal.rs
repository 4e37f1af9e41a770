//! What a topic says no for: pure.

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};

/// What a topic said no to.
#[derive(Clone)]
pub(super) struct Refused {
    /// Whether it is for what the messages are; otherwise it may be otherwise the next time, if only because somebody
    /// mends the topic or its policy.
    pub(super) about_messages: bool,
    pub(super) text: String,
}

impl Refused {
    pub(super) fn of_call<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let about_messages = error.code().is_some_and(is_about_messages);
        let text = aws_sdk_sns::error::DisplayErrorContext(error).to_string();
        Self { about_messages, text }
    }
}

pub(super) fn is_about_messages(code: &str) -> bool {
    const CODES: [&str; 5] = [
        "InvalidParameter",
        "ParameterValueInvalid",
        "Validation",
        "InvalidMessageContents",
        "BatchRequestTooLong",
    ];
    CODES.iter().any(|known| code.starts_with(known))
}
