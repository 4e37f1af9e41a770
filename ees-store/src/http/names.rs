//! The schemas of the names in requests.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::{IdempotencyKey, StreamId, StreamType};

/// No control characters; neither `.` nor `..`; not one of the store's own.
const STREAM_ID: &str = r"^(?!\.{1,2}$)(?!!!!RESERVED:)[^\u0000-\u001F\u007F-\u009F]+$";
/// No control characters.
const STREAM_TYPE: &str = r"^[^\u0000-\u001F\u007F-\u009F]+$";
/// Visible ASCII.
const IDEMPOTENCY_KEY: &str = "^[!-~]+$";

fn name(description: &str, length_max: usize, pattern: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    let text = text.min_length(Some(1)).max_length(Some(length_max)).pattern(Some(pattern));
    RefOr::T(Schema::Object(text.build()))
}

impl PartialSchema for StreamId {
    fn schema() -> RefOr<Schema> {
        let description = "The id of a stream: up to 1,024 bytes of UTF-8 without control characters. `.`, `..` and \
                           ids that begin with `!!!RESERVED:` are refused.";
        name(description, Self::BYTES_MAX, STREAM_ID)
    }
}

impl ToSchema for StreamId {
    fn name() -> Cow<'static, str> {
        "StreamId".into()
    }
}

impl PartialSchema for StreamType {
    fn schema() -> RefOr<Schema> {
        let description = "The type of a stream: up to 255 bytes of UTF-8 without control characters.";
        name(description, Self::BYTES_MAX, STREAM_TYPE)
    }
}

impl ToSchema for StreamType {
    fn name() -> Cow<'static, str> {
        "StreamType".into()
    }
}

impl PartialSchema for IdempotencyKey {
    fn schema() -> RefOr<Schema> {
        name("1 to 255 visible ASCII characters.", Self::LENGTH_MAX, IDEMPOTENCY_KEY)
    }
}

impl ToSchema for IdempotencyKey {
    fn name() -> Cow<'static, str> {
        "IdempotencyKey".into()
    }
}
