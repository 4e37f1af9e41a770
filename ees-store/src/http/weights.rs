//! What a caller accepts, and how much it likes each (`q`).

use axum::http::{HeaderMap, HeaderName};

/// What a header lists, in lower case, each with how much it is liked: from 0, for what is not accepted, to 1.
/// What has a weight that is none is left out.
pub(super) fn of(headers: &HeaderMap, name: HeaderName) -> Vec<(String, f32)> {
    let listed = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|value| value.split(',')).filter_map(liked).collect()
}

fn liked(listed: &str) -> Option<(String, f32)> {
    let mut parts = listed.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let liking = q.map_or(Some(1.0), |q| q.parse().ok().filter(|q| (0.0..=1.0).contains(q)))?;
    Some((name, liking))
}
