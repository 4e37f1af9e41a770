//! The endpoints that operate projections. A reason is mandatory where something is lost. Every call is
//! recorded in the audit with its reason, and returns the status of the projection.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ees_store::http::{JsonBody, Problem};
use ees_store::{ChangesetId, Checkpoint, InvalidTimestamp, StreamId, checkpoint_since};
use serde::Deserialize;
use utoipa::ToSchema;

use super::values::{GivenReason, Number, ProjectionName, Reason};
use crate::{
    AsOf, AsOfStatus, Handle, InPlace, RebuildStreams, RebuiltStreams, SideBySide, Status, Verification,
};

type Answer = Result<Json<Status>, Problem>;

/// No members.
#[derive(Deserialize)]
pub(super) struct Nothing {}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = OperationRequest)]
pub(super) struct Why {
    reason: Reason,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = RebuildRequest)]
pub(super) struct Anew {
    /// Builds a new read model while the live one serves readers, and then swaps them.
    side_by_side: bool,
    /// With `side_by_side`: compares the two read models before the swap, and does not swap when they differ.
    verify: bool,
    /// With `side_by_side`: builds only. Swap later by `POST .../swap`.
    no_swap: bool,
    /// With `side_by_side`: swaps even when streams are parked. In place: rebuilds even when columns,
    /// triggers or the like that others added to the tables can't be made again.
    force: bool,
    /// Whether changesets that were skipped are left out again. Default: if the version of the code is the same.
    keep_skips: Option<bool>,
    /// Deals the streams out to this many workers for the time of the rebuild, in all processes that run the
    /// projection: 1 to 256. More than 1 needs `Order::Stream`, and PostgreSQL, or DynamoDB and a rebuild by segments (64 at most). Default: as many as it has partitions.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 256)]
    workers: Option<Number<1, 256>>,
    /// Lets each worker read its own segment of the log, instead of the whole log. Needs `Order::Stream`, and a log in
    /// DynamoDB.
    by_segments: bool,
    reason: Reason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RebuildStreamsRequest)]
pub(super) struct OfStreams {
    /// The streams: 1 to 1,000, as far as they fit a body of 64 KiB.
    #[schema(value_type = Vec<StreamId>, min_items = 1)]
    streams: Vec<String>,
    /// Tells how the rows differ, and writes nothing.
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    reason: Reason,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = SwapRequest)]
pub(super) struct Exchange {
    /// Swaps even when streams are parked, or when the standby is still catching up.
    force: bool,
    reason: Reason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PartitionsRequest)]
pub(super) struct Partitions {
    /// The number of partitions: 1 to 256.
    #[schema(value_type = u32, minimum = 1, maximum = 256)]
    count: Number<1, 256>,
    #[serde(default)]
    reason: Reason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SkipRequest)]
pub(super) struct Skip {
    /// The checkpoint of the changeset: the one that the projection is paused before, or the first one of a
    /// parked stream.
    checkpoint: Number,
    reason: GivenReason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CheckpointRequest)]
pub(super) struct Move {
    /// The checkpoint that the projection reads next now.
    from: Number,
    /// The checkpoint that it should read next.
    to: Number,
    reason: GivenReason,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = RetryRequest)]
pub(super) struct Retry {
    /// The stream. Default: all parked streams.
    #[schema(value_type = Option<StreamId>)]
    stream_id: Option<String>,
    reason: Reason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DiscardRequest)]
pub(super) struct Discard {
    /// The stream.
    #[schema(value_type = StreamId)]
    stream_id: String,
    /// The number of the changeset in its stream: the first parked one, or the one that the reactor is paused
    /// before.
    changeset_id: Number,
    reason: GivenReason,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AsOfRequest)]
pub(super) struct PlaceOfCopy {
    /// The place: the name of a new schema (PostgreSQL), or of a new file in the folder of the read model (SQLite).
    into: String,
    /// The checkpoint: what comes before it is in the copy. Either this or `time`.
    checkpoint: Option<Number>,
    /// The time, as in RFC 3339: what comes before the place where the log reaches it is in the copy.
    #[schema(format = DateTime)]
    time: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NamedCopyRequest)]
pub(super) struct NamedCopy {
    /// The place.
    into: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelTimerRequest)]
pub(super) struct CancelTimer {
    /// The stream.
    #[schema(value_type = StreamId)]
    stream_id: String,
    /// The key of the timer.
    key: String,
    reason: GivenReason,
}

async fn now(handle: &Handle, name: &str) -> Answer {
    Ok(Json(handle.status(name).await?))
}

/// Pauses a projection between two steps, until it is resumed.
#[utoipa::path(
    post, path = "/projections/{name}/pause", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Why,
    responses((status = 200, description = "The status of the projection now.", body = Status), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn pause(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Answer {
    handle.pause(&name, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Resumes a paused projection. It retries what failed.
#[utoipa::path(
    post, path = "/projections/{name}/resume", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Why,
    responses((status = 200, description = "The status of the projection now.", body = Status), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn resume(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Answer {
    handle.resume(&name, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Rebuilds the read model, in place or side by side.
///
/// In place, it clears the read model and replays the log from the start; readers see it grow. Side by side,
/// the live read model serves readers until the new one replaces it.
#[utoipa::path(
    post, path = "/projections/{name}/rebuild", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Anew,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: a standby is being built already, or what others added to the tables can't be made again, or `workers` with a projection that needs the global order; `NOT_SUPPORTED`: the database can't build one, or can't deal it out, or the projection or its log can't do with segments"),
    )
)]
pub(super) async fn rebuild(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Anew { side_by_side, verify, no_swap, force, keep_skips, workers, by_segments, reason }): JsonBody<Anew>,
) -> Answer {
    let workers = workers.map(|count| u32::try_from(count.get())).transpose().map_err(Problem::internal)?;
    if side_by_side {
        let wanted = SideBySide { verify, no_swap, force, keep_skips, workers, by_segments };
        handle.rebuild_side_by_side(&name, wanted, reason.as_str()).await?;
    } else {
        let wanted = InPlace { force, keep_skips, workers, by_segments };
        handle.rebuild_in_place(&name, wanted, reason.as_str()).await?;
    }
    now(&handle, &name).await
}

/// Rebuilds the rows of some streams in one transaction, while the projection goes on.
///
/// It replays the streams up to where the projection is, and replaces the rows that differ. Rows of other streams stay
/// as they are. What is skipped is left out, and what is parked stays parked.
#[utoipa::path(
    post, path = "/projections/{name}/rebuild-streams", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = OfStreams,
    responses(
        (status = 200, description = "How the rows differed.", body = RebuiltStreams),
        (status = 400, description = "`INVALID_BODY`: the streams are missing, or not 1 to 1,000; `INVALID_STREAM_ID`"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_SUPPORTED`: the projection needs the global order, or has statements of its own; `NOT_POSSIBLE`: it is being rebuilt, the log does not have a stream, a changeset can't be applied again, or the rows don't fit one transaction. Nothing was changed"),
    )
)]
pub(super) async fn rebuild_streams(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(OfStreams { streams, dry_run, reason }): JsonBody<OfStreams>,
) -> Result<Json<RebuiltStreams>, Problem> {
    let (count, max) = (streams.len(), RebuildStreams::STREAMS_MAX);
    if !(1..=max).contains(&count) {
        let why = format!("`streams` has {count} streams. Give 1 to {max}.");
        return Err(Problem::bad_request("INVALID_BODY", why));
    }
    let streams = streams.iter().map(|text| stream(text)).collect::<Result<_, _>>()?;
    let wanted = RebuildStreams { streams, dry_run };
    Ok(Json(handle.rebuild_streams(&name, wanted, reason.as_str()).await?))
}

/// Makes the standby the live read model.
///
/// The old live read model becomes the standby and follows, for a rollback.
#[utoipa::path(
    post, path = "/projections/{name}/swap", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Exchange,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no standby, or it is not ready; `NOT_SUPPORTED`: the database can't keep one"),
    )
)]
pub(super) async fn swap(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Exchange { force, reason }): JsonBody<Exchange>,
) -> Answer {
    handle.swap(&name, force, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Makes the read model live again that was live before.
#[utoipa::path(
    post, path = "/projections/{name}/rollback", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Exchange,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no standby, or it is not ready; `NOT_SUPPORTED`: the database can't keep one"),
    )
)]
pub(super) async fn rollback(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Exchange { force, reason }): JsonBody<Exchange>,
) -> Answer {
    handle.rollback(&name, force, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Splits the projection's streams into partitions. Nothing is rebuilt.
#[utoipa::path(
    post, path = "/projections/{name}/partitions", tag = "projections", operation_id = "set_partitions", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Partitions,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 400, description = "`INVALID_BODY`: the count is missing, or not 1 to 256"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: the projection needs the global order; `NOT_SUPPORTED`: the database can't split a projection"),
    )
)]
pub(super) async fn partitions(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Partitions { count, reason }): JsonBody<Partitions>,
) -> Answer {
    let count = u32::try_from(count.get()).map_err(Problem::internal)?;
    handle.set_partitions(&name, count, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Discards the standby.
#[utoipa::path(
    post, path = "/projections/{name}/discard", tag = "projections", operation_id = "discard_standby", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Why,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no standby; `NOT_SUPPORTED`: the database can't keep one"),
    )
)]
pub(super) async fn discard(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Why { reason }): JsonBody<Why>,
) -> Answer {
    handle.discard_standby(&name, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Begins to build the read model once more and to compare it with the live one.
///
/// `GET` on the same path returns the progress and the result.
#[utoipa::path(
    post, path = "/projections/{name}/verification", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses(
        (status = 202, description = "It has begun. `GET` on the same path tells how far it is.", body = Verification),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_SUPPORTED`: the database can't build a second read model"),
    )
)]
pub(super) async fn verify(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<(StatusCode, Json<Option<Verification>>), Problem> {
    handle.begin_verification(&name)?;
    Ok((StatusCode::ACCEPTED, Json(handle.verification(&name)?)))
}

/// Begins to build the read model as it was at a checkpoint, beside the live one, or goes on with it.
///
/// `GET` on the same path returns the progress.
#[utoipa::path(
    post, path = "/projections/{name}/as-of", tag = "projections", operation_id = "build_as_of", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = PlaceOfCopy,
    responses(
        (status = 202, description = "It has begun. `GET` on the same path tells how far it is.", body = Option<AsOfStatus>),
        (status = 400, description = "`INVALID_BODY`: `into` is missing, or not one of `checkpoint` and `time` is given; `INVALID_TIME`"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: another copy is being built, or the place has the name of a projection"),
    )
)]
pub(super) async fn build_as_of(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(PlaceOfCopy { into, checkpoint, time }): JsonBody<PlaceOfCopy>,
) -> Result<(StatusCode, Json<Option<AsOfStatus>>), Problem> {
    let checkpoint = match (checkpoint, time) {
        (Some(checkpoint), None) => Checkpoint::new(checkpoint.get()),
        (None, Some(time)) => {
            let invalid = |why: String| Problem::bad_request("INVALID_TIME", format!("`time`: {why}."));
            let time = time.parse().map_err(|why: InvalidTimestamp| invalid(why.to_string()))?;
            match checkpoint_since(&handle.log, time).await {
                Err(ees_store::Error::InvalidRequest(why)) => return Err(invalid(why)),
                found => found?,
            }
        }
        _ => return Err(Problem::bad_request("INVALID_BODY", "Give either `checkpoint` or `time`.")),
    };
    handle.begin_as_of(&name, &AsOf { checkpoint, into })?;
    Ok((StatusCode::ACCEPTED, Json(handle.as_of_status(&name)?)))
}

/// Cancels the building of a copy of the read model as it was.
///
/// What was built is kept: the same request goes on with it, and `drop` drops it.
#[utoipa::path(
    post, path = "/projections/{name}/as-of/cancel", tag = "projections", operation_id = "cancel_as_of", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = NamedCopy,
    responses(
        (status = 200, description = "It is not being built any more. `next` says how far it is.", body = Option<AsOfStatus>),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: this copy is not being built by this server"),
    )
)]
pub(super) async fn cancel_as_of(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(NamedCopy { into }): JsonBody<NamedCopy>,
) -> Result<Json<Option<AsOfStatus>>, Problem> {
    handle.cancel_as_of(&name, &into).await?;
    Ok(Json(handle.as_of_status(&name)?))
}

/// Drops a copy of the read model as it was.
#[utoipa::path(
    post, path = "/projections/{name}/as-of/drop", tag = "projections", operation_id = "drop_as_of", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = NamedCopy,
    responses(
        (status = 200, description = "It is gone. The status of the projection now.", body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: there is no such copy of this projection, or it is being built; `NOT_SUPPORTED`: the database keeps no copies"),
    )
)]
pub(super) async fn drop_as_of(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(NamedCopy { into }): JsonBody<NamedCopy>,
) -> Answer {
    handle.drop_as_of(&name, &into).await?;
    now(&handle, &name).await
}

/// Skips one changeset. A rebuild leaves it out again, unless told otherwise.
#[utoipa::path(
    post, path = "/projections/{name}/skip", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Skip,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 400, description = "`INVALID_BODY`: the checkpoint or the reason is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: this changeset can't be skipped now"),
    )
)]
pub(super) async fn skip(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Skip { checkpoint, reason }): JsonBody<Skip>,
) -> Answer {
    handle.skip(&name, Checkpoint::new(checkpoint.get()), reason.as_str()).await?;
    now(&handle, &name).await
}

/// Moves a projection's checkpoint without changing its tables.
///
/// The changesets in between are skipped, or applied a second time.
#[utoipa::path(
    post, path = "/projections/{name}/checkpoint", tag = "projections", operation_id = "set_checkpoint", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Move,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`PROJECTION_MOVED`: the projection is at another checkpoint by now"),
    )
)]
pub(super) async fn checkpoint(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Move { from, to, reason }): JsonBody<Move>,
) -> Answer {
    handle
        .set_checkpoint(&name, Checkpoint::new(from.get()), Checkpoint::new(to.get()), reason.as_str())
        .await?;
    now(&handle, &name).await
}

/// Retries parked streams now.
#[utoipa::path(
    post, path = "/projections/{name}/retry", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Retry,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: no such stream is parked"),
    )
)]
pub(super) async fn retry(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Retry { stream_id, reason }): JsonBody<Retry>,
) -> Answer {
    let stream_id = stream_id.map(|text| stream(&text)).transpose()?;
    handle.retry_parked(&name, stream_id, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Discards the open effects of one changeset of a reactor, and lets its stream go on.
#[utoipa::path(
    post, path = "/projections/{name}/effects/discard", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = Discard,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: this changeset can't be discarded now"),
    )
)]
pub(super) async fn discard_effects(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(Discard { stream_id, changeset_id, reason }): JsonBody<Discard>,
) -> Answer {
    let (stream_id, changeset_id) = (stream(&stream_id)?, ChangesetId::new(changeset_id.get()));
    handle.discard_effects(&name, &stream_id, changeset_id, reason.as_str()).await?;
    now(&handle, &name).await
}

/// Cancels a timer of a reactor, for good.
#[utoipa::path(
    post, path = "/projections/{name}/timers/cancel", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    request_body = CancelTimer,
    responses(
        (status = 200, description = "The status of the projection now.", body = Status),
        (status = 400, description = "`INVALID_BODY`: a member is missing"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`; `TIMER_NOT_FOUND`: the timer has fired, was cancelled, or was never set"),
    )
)]
pub(super) async fn cancel_timer(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    JsonBody(CancelTimer { stream_id, key, reason }): JsonBody<CancelTimer>,
) -> Answer {
    handle.cancel_timer(&name, &stream(&stream_id)?, &key, reason.as_str()).await?;
    now(&handle, &name).await
}

pub(super) fn stream(text: &str) -> Result<StreamId, Problem> {
    StreamId::new(text).map_err(|e| Problem::bad_request("INVALID_STREAM_ID", e.to_string()))
}
