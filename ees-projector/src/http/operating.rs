//! To steer projections. Every call wants a reason where something is lost, keeps it in the audit, and answers with
//! the status.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ees_store::http::Problem;
use ees_store::{ChangesetId, Checkpoint, StreamId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::{Handle, SideBySide, Status, Verification};

type Answer = Result<Json<Status>, Problem>;

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Why {
    /// Why; kept in the audit.
    reason: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Anew {
    /// Builds it beside the live one, which goes on until the new one takes its place.
    side_by_side: bool,
    /// With `side_by_side`: compares the two before; when they differ, they are not swapped.
    verify: bool,
    /// With `side_by_side`: only builds; `swap` swaps.
    no_swap: bool,
    /// With `side_by_side`: swaps although streams are parked.
    force: bool,
    /// Why; kept in the audit.
    reason: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Exchange {
    /// Although streams are parked, or it is still being built.
    force: bool,
    /// Why; kept in the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Partitions {
    /// How many: 1 to 256.
    count: u32,
    /// Why; kept in the audit.
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Skip {
    /// The changeset: the one the projection stands before, or the first of a parked stream.
    checkpoint: u64,
    /// Why; kept in the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Move {
    /// Where the projection stands now.
    from: u64,
    /// Where it shall stand.
    to: u64,
    /// Why; kept in the audit.
    reason: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Retry {
    /// The stream; all that are parked unless given.
    stream_id: Option<String>,
    /// Why; kept in the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Discard {
    /// The stream.
    stream_id: String,
    /// Its changeset: the first that waits, or the one that the reactor stands before.
    changeset_id: u64,
    /// Why; kept in the audit.
    reason: String,
}

/// An empty body is an empty object.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let text: &[u8] = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|e| Problem::bad_request("INVALID_BODY", e.to_string()))
}

fn given(reason: &str) -> Result<&str, Problem> {
    match reason.trim() {
        "" => Err(Problem::bad_request("INVALID_BODY", "`reason` must say why: it is kept in the audit.")),
        reason => Ok(reason),
    }
}

async fn now(handle: &Handle, name: &str) -> Answer {
    Ok(Json(handle.status(name).await?))
}

/// Stops a projection between two steps, until it is resumed.
#[utoipa::path(
    post, path = "/projections/{name}/pause", tag = "Projections", params(("name" = String, Path)),
    request_body = Why,
    responses((status = 200, body = Status), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn pause(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    handle.pause(&name, &read::<Why>(&body)?.reason).await?;
    now(&handle, &name).await
}

/// Lets a paused projection go on, and try again what it failed at.
#[utoipa::path(
    post, path = "/projections/{name}/resume", tag = "Projections", params(("name" = String, Path)),
    request_body = Why,
    responses((status = 200, body = Status), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn resume(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    handle.resume(&name, &read::<Why>(&body)?.reason).await?;
    now(&handle, &name).await
}

/// Wipes the read model and replays the log from zero; or builds it anew beside the live one.
#[utoipa::path(
    post, path = "/projections/{name}/rebuild", tag = "Projections", params(("name" = String, Path)),
    request_body = Anew,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: one is being built beside it already, or can't be"),
    )
)]
pub(super) async fn rebuild(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Anew { side_by_side, verify, no_swap, force, reason } = read(&body)?;
    if side_by_side {
        handle.rebuild_side_by_side(&name, SideBySide { verify, no_swap, force }, &reason).await?;
    } else {
        handle.rebuild(&name, &reason).await?;
    }
    now(&handle, &name).await
}

/// Lets the read model that was built beside the live one take its place.
#[utoipa::path(
    post, path = "/projections/{name}/swap", tag = "Projections", params(("name" = String, Path)),
    request_body = Exchange,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is none, or it is not ready"),
    )
)]
pub(super) async fn swap(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Exchange { force, reason } = read(&body)?;
    handle.swap(&name, force, &reason).await?;
    now(&handle, &name).await
}

/// Brings back the read model that was live before.
#[utoipa::path(
    post, path = "/projections/{name}/rollback", tag = "Projections", params(("name" = String, Path)),
    request_body = Exchange,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is none, or it is not ready"),
    )
)]
pub(super) async fn rollback(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Exchange { force, reason } = read(&body)?;
    handle.rollback(&name, force, &reason).await?;
    now(&handle, &name).await
}

/// Deals the projection's streams out to so many workers. Nothing is rebuilt.
#[utoipa::path(
    post, path = "/projections/{name}/partitions", tag = "Projections", params(("name" = String, Path)),
    request_body = Partitions,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: no count"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: it needs the global order, or the count is out of range"),
    )
)]
pub(super) async fn partitions(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Partitions { count, reason } = read(&body)?;
    handle.set_partitions(&name, count, &reason).await?;
    now(&handle, &name).await
}

/// Throws away the read model beside the live one.
#[utoipa::path(
    post, path = "/projections/{name}/discard", tag = "Projections", params(("name" = String, Path)),
    request_body = Why,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is none"),
    )
)]
pub(super) async fn discard(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    handle.discard_standby(&name, &read::<Why>(&body)?.reason).await?;
    now(&handle, &name).await
}

/// Begins to build the read model once more, aside, and to compare it with the live one. `GET` tells how far it is.
#[utoipa::path(
    post, path = "/projections/{name}/verification", tag = "Projections", params(("name" = String, Path)),
    responses((status = 202, body = Verification), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn verify(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Option<Verification>>), Problem> {
    handle.begin_verification(&name)?;
    Ok((StatusCode::ACCEPTED, Json(handle.verification(&name)?)))
}

/// Leaves out one changeset, and goes on.
#[utoipa::path(
    post, path = "/projections/{name}/skip", tag = "Projections", params(("name" = String, Path)),
    request_body = Skip,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: no checkpoint, or no reason"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: it is not the changeset that can be skipped"),
    )
)]
pub(super) async fn skip(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Skip { checkpoint, reason } = read(&body)?;
    handle.skip(&name, Checkpoint::new(checkpoint), given(&reason)?).await?;
    now(&handle, &name).await
}

/// Moves a projection without touching its tables: what lies between is left out, or applied once more.
#[utoipa::path(
    post, path = "/projections/{name}/checkpoint", tag = "Projections", params(("name" = String, Path)),
    request_body = Move,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`PROJECTION_MOVED`: it stands elsewhere by now"),
    )
)]
pub(super) async fn checkpoint(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Move { from, to, reason } = read(&body)?;
    handle.set_checkpoint(&name, Checkpoint::new(from), Checkpoint::new(to), given(&reason)?).await?;
    now(&handle, &name).await
}

/// Tries parked streams again now.
#[utoipa::path(
    post, path = "/projections/{name}/retry", tag = "Projections", params(("name" = String, Path)),
    request_body = Retry,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: no such stream is parked"),
    )
)]
pub(super) async fn retry(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Retry { stream_id, reason } = read(&body)?;
    let stream_id = stream_id.map(|text| stream(&text)).transpose()?;
    handle.retry_parked(&name, stream_id, &reason).await?;
    now(&handle, &name).await
}

/// Leaves out what a changeset calls for that a reactor has not done yet, and lets its stream go on.
#[utoipa::path(
    post, path = "/projections/{name}/effects/discard", tag = "Projections", params(("name" = String, Path)),
    request_body = Discard,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: it is not the changeset that can be discarded"),
    )
)]
pub(super) async fn discard_effects(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer {
    let Discard { stream_id, changeset_id, reason } = read(&body)?;
    let (stream_id, changeset_id) = (stream(&stream_id)?, ChangesetId::new(changeset_id));
    handle.discard(&name, &stream_id, changeset_id, given(&reason)?).await?;
    now(&handle, &name).await
}

pub(super) fn stream(text: &str) -> Result<StreamId, Problem> {
    StreamId::new(text).map_err(|e| Problem::bad_request("INVALID_STREAM_ID", e.to_string()))
}
