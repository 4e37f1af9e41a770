//! The endpoints that operate projections. A reason is mandatory where something is lost. Every call is
//! recorded in the audit with its reason, and returns the status of the projection.

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
    /// The reason. Recorded in the audit.
    reason: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Anew {
    /// Builds a new read model while the live one serves readers, and then swaps them.
    side_by_side: bool,
    /// With `side_by_side`: compares the two read models before the swap, and does not swap when they differ.
    verify: bool,
    /// With `side_by_side`: builds only. Swap later by `POST .../swap`.
    no_swap: bool,
    /// With `side_by_side`: swaps even when streams are parked.
    force: bool,
    /// Whether changesets that were skipped are left out again. Default: if the version of the code is the same.
    keep_skips: Option<bool>,
    /// The reason. Recorded in the audit.
    reason: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Exchange {
    /// Swaps even when streams are parked, or when the standby is still catching up.
    force: bool,
    /// The reason. Recorded in the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Partitions {
    /// The number of partitions: 1 to 256.
    count: u32,
    /// The reason. Recorded in the audit.
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Skip {
    /// The checkpoint of the changeset: the one that the projection is paused before, or the first one of a
    /// parked stream.
    checkpoint: u64,
    /// The reason. Recorded in the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Move {
    /// The checkpoint that the projection reads next now.
    from: u64,
    /// The checkpoint that it should read next.
    to: u64,
    /// The reason. Recorded in the audit.
    reason: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Retry {
    /// The stream. Default: all parked streams.
    stream_id: Option<String>,
    /// The reason. Recorded in the audit.
    reason: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct Discard {
    /// The stream.
    stream_id: String,
    /// The number of the changeset in its stream: the first parked one, or the one that the reactor is paused
    /// before.
    changeset_id: u64,
    /// The reason. Recorded in the audit.
    reason: String,
}

/// Parses a body. An empty one counts as an empty object.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let text: &[u8] = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|e| Problem::bad_request("INVALID_BODY", e.to_string()))
}

fn given(reason: &str) -> Result<&str, Problem> {
    match reason.trim() {
        "" => Err(Problem::bad_request(
            "INVALID_BODY",
            "`reason` is missing or empty. It is recorded in the audit.",
        )),
        reason => Ok(reason),
    }
}

async fn now(handle: &Handle, name: &str) -> Answer {
    Ok(Json(handle.status(name).await?))
}

/// Pauses a projection between two steps, until it is resumed.
#[utoipa::path(
    post, path = "/projections/{name}/pause", tag = "Projections", params(("name" = String, Path)),
    request_body = Why,
    responses((status = 200, body = Status), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn pause(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    handle.pause(&name, &read::<Why>(&body)?.reason).await?;
    now(&handle, &name).await
}

/// Resumes a paused projection. It retries what failed.
#[utoipa::path(
    post, path = "/projections/{name}/resume", tag = "Projections", params(("name" = String, Path)),
    request_body = Why,
    responses((status = 200, body = Status), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn resume(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    handle.resume(&name, &read::<Why>(&body)?.reason).await?;
    now(&handle, &name).await
}

/// Rebuilds the read model, in place or side by side.
///
/// In place, it clears the read model and replays the log from the start; readers see it grow. Side by side,
/// the live read model serves readers until the new one replaces it.
#[utoipa::path(
    post, path = "/projections/{name}/rebuild", tag = "Projections", params(("name" = String, Path)),
    request_body = Anew,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: a standby is being built already, or the database can't build one"),
    )
)]
pub(super) async fn rebuild(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Anew { side_by_side, verify, no_swap, force, keep_skips, reason } = read(&body)?;
    if side_by_side {
        handle
            .rebuild_side_by_side(&name, SideBySide { verify, no_swap, force, keep_skips }, &reason)
            .await?;
    } else if let Some(keep) = keep_skips {
        handle.rebuild_with_skips(&name, keep, &reason).await?;
    } else {
        handle.rebuild(&name, &reason).await?;
    }
    now(&handle, &name).await
}

/// Makes the standby the live read model.
///
/// The old live read model becomes the standby and follows, for a rollback.
#[utoipa::path(
    post, path = "/projections/{name}/swap", tag = "Projections", params(("name" = String, Path)),
    request_body = Exchange,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no standby, or it is not ready"),
    )
)]
pub(super) async fn swap(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Exchange { force, reason } = read(&body)?;
    handle.swap(&name, force, &reason).await?;
    now(&handle, &name).await
}

/// Makes the read model live again that was live before.
#[utoipa::path(
    post, path = "/projections/{name}/rollback", tag = "Projections", params(("name" = String, Path)),
    request_body = Exchange,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no standby, or it is not ready"),
    )
)]
pub(super) async fn rollback(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Exchange { force, reason } = read(&body)?;
    handle.rollback(&name, force, &reason).await?;
    now(&handle, &name).await
}

/// Splits the projection's streams into partitions. Nothing is rebuilt.
#[utoipa::path(
    post, path = "/projections/{name}/partitions", tag = "Projections", params(("name" = String, Path)),
    request_body = Partitions,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: the count is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: the projection needs the global order, or the count is out of range"),
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

/// Discards the standby.
#[utoipa::path(
    post, path = "/projections/{name}/discard", tag = "Projections", params(("name" = String, Path)),
    request_body = Why,
    responses(
        (status = 200, body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no standby"),
    )
)]
pub(super) async fn discard(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    handle.discard_standby(&name, &read::<Why>(&body)?.reason).await?;
    now(&handle, &name).await
}

/// Begins to build the read model once more and to compare it with the live one.
///
/// `GET` on the same path returns the progress and the result.
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

/// Skips one changeset. A rebuild leaves it out again, unless told otherwise.
#[utoipa::path(
    post, path = "/projections/{name}/skip", tag = "Projections", params(("name" = String, Path)),
    request_body = Skip,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: the checkpoint or the reason is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: this changeset can't be skipped now"),
    )
)]
pub(super) async fn skip(State(handle): State<Handle>, Path(name): Path<String>, body: Bytes) -> Answer {
    let Skip { checkpoint, reason } = read(&body)?;
    handle.skip(&name, Checkpoint::new(checkpoint), given(&reason)?).await?;
    now(&handle, &name).await
}

/// Moves a projection's checkpoint without changing its tables.
///
/// The changesets in between are skipped, or applied a second time.
#[utoipa::path(
    post, path = "/projections/{name}/checkpoint", tag = "Projections", params(("name" = String, Path)),
    request_body = Move,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`PROJECTION_MOVED`: the projection is at another checkpoint by now"),
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

/// Retries parked streams now.
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

/// Discards the open effects of one changeset of a reactor, and lets its stream go on.
#[utoipa::path(
    post, path = "/projections/{name}/effects/discard", tag = "Projections", params(("name" = String, Path)),
    request_body = Discard,
    responses(
        (status = 200, body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: this changeset can't be discarded now"),
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
