//! `GET /access`: what the caller may do.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::keys::{Scope, Scopes};
use super::super::schema::Error as ErrorAnswer;

/// What the caller may do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"scopes": ["read", "commit"]}))]
pub(super) struct Access {
    /// The scopes: `read`, `commit`, `admin`. `admin` includes the others, which are listed too.
    scopes: Vec<&'static str>,
}

/// What the caller may do.
///
/// The scopes of the key that the call has; all of them on a server without keys. Every key may ask.
#[utoipa::path(
    get, path = "/access", tag = "operation", operation_id = "access",
    responses(
        (status = 200, description = "The scopes.", body = Access),
        (status = 401, description = "`UNAUTHORIZED`: the key is missing or unknown.", body = ErrorAnswer),
    ),
)]
pub(super) async fn access(scopes: Option<Extension<Scopes>>) -> Json<Access> {
    let all = || Scope::ALL.map(Scope::name).to_vec();
    Json(Access { scopes: scopes.map_or_else(all, |Extension(scopes)| scopes.names()) })
}
