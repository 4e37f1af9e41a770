//! The stream type, the UUID and the revision in a path.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

use super::super::Problem;
use super::super::path::decode;
use super::super::query::Whole;
use super::error_response::bad;
use crate::{EventId, StreamId, StreamType};

/// The type of `/typed/streams/{streamType}...`, taken from the path as it was sent: `a%2Fb` is one type.
pub(super) struct TypePath(pub(super) StreamType);

/// The type, and the UUID in lower case, of `/typed/streams/{streamType}/{streamId}...`.
pub(super) struct StreamPath(pub(super) StreamType, pub(super) StreamId);

/// The revision at the end of a path; from 1 on.
pub(super) struct RevisionPath(pub(super) EventId);

fn segment(parts: &Parts, number: usize) -> &str {
    let rest = parts.uri.path().strip_prefix("/typed/streams/").unwrap_or("");
    rest.split('/').nth(number).unwrap_or("")
}

impl<S: Sync> FromRequestParts<S> for TypePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text =
            decode(segment(parts, 0)).ok_or_else(|| bad("streamType", "must be percent-encoded UTF-8"))?;
        StreamType::new(&text).map(Self).map_err(|why| bad("streamType", format!("is invalid: {why}")))
    }
}

impl<S: Sync> FromRequestParts<S> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let TypePath(stream_type) = TypePath::from_request_parts(parts, state).await?;
        let text = decode(segment(parts, 1)).unwrap_or_default();
        let uuid = Uuid::try_parse(&text).ok().filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH);
        let uuid = uuid.ok_or_else(|| bad("streamId", "must be a UUID"))?;
        let stream_id = StreamId::new(&uuid.to_string()).map_err(|why| bad("streamId", why))?;
        Ok(Self(stream_type, stream_id))
    }
}

impl<S: Sync> FromRequestParts<S> for RevisionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let revision = decode(segment(parts, 3)).and_then(|text| Whole::parse(&text));
        let revision = revision.filter(|revision| !revision.is_zero());
        let revision = revision.ok_or_else(|| bad("revision", "must be a whole number from 1 on"))?;
        Ok(Self(EventId::new(revision.get())))
    }
}
