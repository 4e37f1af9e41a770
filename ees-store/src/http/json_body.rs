//! The JSON body of a request that is not a commit: small, an object, and without unknown members.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::HeaderMap;
use serde::Deserializer;
use serde::de::{DeserializeOwned, Error as _, Visitor, value::Error as Stopped};

use super::{Admission, Limits, Problem, body, strict};

/// Bytes of such a body at most: a few names and a reason.
const BYTES_MAX: usize = 64 * 1024;

/// The body of a request, read as a `T`. It is an axum extractor.
///
/// `T` is a struct. The body is a JSON object; an empty body counts as an empty object. Unknown members are
/// refused. The body arrives in [`Limits::body_time`] and has at most 64 KiB.
///
/// ```
/// use ees_store::http::JsonBody;
/// #[derive(serde::Deserialize)]
/// struct Pause { reason: String }
/// async fn pause(JsonBody(Pause { reason }): JsonBody<Pause>) -> String {
///     format!("paused: {reason}")
/// }
/// # let _ = pause;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct JsonBody<T>(
    /// What was read.
    pub T,
);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Ok(admission) = Admission::from_request_parts(&mut parts, state).await;
        let limits = admission.limits();
        parse(&body_text(&parts.headers, body, limits, &admission).await?).map(Self)
    }
}

async fn body_text(
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
    admission: &Admission,
) -> Result<String, Problem> {
    let limits = Limits { body_bytes: limits.body_bytes.min(BYTES_MAX), ..limits };
    let read =
        body::read(headers, body, &limits, admission).await.map_err(|problem| problem.of_small_body())?;
    let text = String::from_utf8(read.into());
    text.map_err(|why| Problem::bad_request("INVALID_BODY", format!("The body is not UTF-8: {why}.")))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let refuse = |why: String| Problem::bad_request("INVALID_BODY", why);
    let text = if text.trim_ascii().is_empty() { "{}" } else { text };
    if let Some((name, instead)) = strict::unknown_member(text, members_of::<T>()) {
        return Err(refuse(format!("The body has the unknown member \"{name}\". {instead}")));
    }
    // serde reads a struct from an array too.
    if text.trim_ascii_start().starts_with('[') {
        return Err(refuse("The body must be a JSON object.".to_owned()));
    }
    serde_json::from_str(text).map_err(|why| refuse(format!("The body is not valid: {why}.")))
}

/// The names that a struct gives its members.
fn members_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut members: &'static [&'static str] = &[];
    // It stops once the names are known.
    let _ = T::deserialize(Members(&mut members));
    members
}

struct Members<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Members<'_> {
    type Error = Stopped;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stopped> {
        Err(Stopped::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        members: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stopped> {
        *self.0 = members;
        Err(Stopped::custom("the names are known"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Move {
        from: u64,
        to: u64,
        #[serde(rename = "why")]
        reason: String,
    }

    #[test]
    fn a_body_is_an_object_without_unknown_members() {
        let moved = |from, to| Move { from, to, reason: String::new() };
        assert_eq!(parse::<Move>(r#"{"from":50,"to":10}"#).unwrap(), moved(50, 10));
        assert_eq!(parse::<Move>(" \n").unwrap(), moved(0, 0));
        for (body, told) in [
            ("[50,10,\"x\"]", "must be a JSON object"),
            ("7", "invalid type"),
            ("{\"from\":50,\"too\":10}", "unknown member \\\"too\\\". Did you mean \\\"to\\\"?"),
            ("{\"reason\":\"x\"}", "unknown member \\\"reason\\\""),
            ("{\"from\":-1}", "invalid value"),
            ("{\"from\":1,\"from\":2}", "duplicate field"),
            ("{", "EOF"),
        ] {
            let refused = format!("{:?}", parse::<Move>(body).unwrap_err());
            assert!(refused.contains(told), "{body}: {refused}");
        }
    }
}
