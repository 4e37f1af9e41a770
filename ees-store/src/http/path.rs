//! The stream id in a path.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::Problem;
use crate::StreamId;

/// The stream id of `/streams/{stream_id}...`.
///
/// Taken from the raw path, whose segments were split before anything was decoded: `a%2Fb` is one id.
pub(super) struct StreamPath(pub(super) StreamId);

impl<S: Sync> FromRequestParts<S> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let rest = parts.uri.path().strip_prefix("/streams/").unwrap_or("");
        stream_id(rest.split_once('/').map_or(rest, |(segment, _)| segment)).map(Self)
    }
}

fn stream_id(segment: &str) -> Result<StreamId, Problem> {
    if segment.is_empty() {
        return Err(Problem::missing_stream_id());
    }
    let text = decode(segment).ok_or_else(|| {
        Problem::bad_request("INVALID_STREAM_ID", "a stream id in a path must be percent-encoded UTF-8")
    })?;
    StreamId::new(&text)
        .map_err(|why| Problem::bad_request("INVALID_STREAM_ID", why.to_string()).about(&text))
}

/// Strict where URL libraries are lenient: of `100%41`, sent by a client that forgot to encode, it is not
/// clear which stream is meant.
pub(crate) fn decode(segment: &str) -> Option<String> {
    let mut escapes = segment.split('%').skip(1);
    let whole = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(whole) {
        return None;
    }
    percent_decode_str(segment).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decoded_once_and_strictly() {
        assert_eq!(decode("a%2Fb%20%C3%A4+%2541").as_deref(), Some("a/b ä+%41"));
        for bad in ["%", "100%", "%4", "%zz", "a%4x", "%ff", "%C3"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
