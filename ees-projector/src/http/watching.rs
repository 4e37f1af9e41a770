//! The endpoints that show projections, and wait until a write is applied.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use ees_store::http::{Admission, Closing, Problem};
use ees_store::{ChangesetId, Checkpoint, StreamId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::OPERATION_MAX;
use super::operating::stream;
use super::values::{Number, ProjectionName};
use crate::reactor::{Effect, EffectQuery, EffectState, Timer, TimerQuery};
use crate::{
    AsOfStatus, AuditEntry, Estimate, Explain, ExplainProgress, Explanation, FingerprintCheck, Handle,
    OperateError, ParkedStream, Passed, Status, Verification,
};

/// Default wait of a caller, in seconds.
const TIMEOUT_SECONDS: f64 = 10.0;
/// Longest wait of a caller, in seconds.
const TIMEOUT_SECONDS_MAX: f64 = 60.0;
/// Audit entries in one answer when no limit is given.
const AUDIT_ENTRIES: usize = 100;
/// The most audit entries in one answer.
const AUDIT_ENTRIES_MAX: usize = 1_000;
/// The most audit entries to leave out before a page.
const AUDIT_SKIP_MAX: usize = 1_000;
/// The most steps of a row's explanation in one answer.
const EXPLAINED_STEPS_MAX: usize = 1_000;
/// The most effects in one answer.
const EFFECTS_MAX: usize = 1_000;
/// The most timers in one answer.
const TIMERS_MAX: usize = 1_000;

#[derive(Serialize, ToSchema)]
pub(super) struct Projections {
    projections: Vec<Status>,
}

/// All projections of this server, by name.
#[utoipa::path(get, path = "/projections", tag = "projections", operation_id = "projections", responses((status = 200, description = "The projections.", body = Projections)))]
pub(super) async fn list(State(handle): State<Handle>) -> Json<Projections> {
    Json(Projections { projections: handle.list().await })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Waits until the changeset at this checkpoint is applied. Use the `Ees-Checkpoint` of a commit.
    ///
    /// Not together with `stream_id` and `changeset_id`.
    #[param(inline)]
    min_checkpoint: Option<Number>,
    /// Waits until a changeset of this stream is applied. Needs `changeset_id`.
    #[param(value_type = Option<StreamId>)]
    stream_id: Option<String>,
    /// The number of the changeset in `stream_id`. Needs `stream_id`.
    #[param(inline)]
    changeset_id: Option<Number>,
    /// The longest wait in seconds, 0 to 60. Default: 10.
    #[param(minimum = 0, maximum = 60)]
    timeout: Option<f64>,
}

/// The status of one projection.
///
/// With parameters, answers when the projection has applied the changeset that they name.
#[utoipa::path(
    get, path = "/projections/{name}", tag = "projections", operation_id = "projection", params(("name" = inline(ProjectionName), Path, description = "The name of the projection."), Wait),
    responses(
        (status = 200, description = "The status.", body = Status),
        (status = 400, description = "`INVALID_WAIT`: the parameters are invalid or contradict each other"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_POSSIBLE`: the projection is stopped"),
        (status = 504, description = "`TIMEOUT`: the changeset was not applied in time, or does not exist"),
    )
)]
pub(super) async fn status(
    State(handle): State<Handle>,
    admission: Admission,
    closing: Closing,
    Path(name): Path<String>,
    query: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Status>, Problem> {
    let Query(wait) = query.map_err(|e| Problem::bad_request("INVALID_WAIT", e.body_text()))?;
    let seconds = wait.timeout.unwrap_or(TIMEOUT_SECONDS);
    if !(0.0..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
        let message = format!("`timeout` must be between 0 and {TIMEOUT_SECONDS_MAX} seconds.");
        return Err(Problem::bad_request("INVALID_WAIT", message));
    }
    let timeout = Duration::from_secs_f64(seconds);
    if wait.min_checkpoint.is_some() || wait.stream_id.is_some() || wait.changeset_id.is_some() {
        admission.waits(timeout)?;
    }
    let waited = async {
        match (wait.min_checkpoint, wait.stream_id, wait.changeset_id) {
            (None, None, None) => Ok(()),
            (Some(checkpoint), None, None) => handle
                .when_reached(&name, Checkpoint::new(checkpoint.get()), timeout)
                .await
                .map_err(Problem::from),
            (None, Some(stream_id), Some(changeset_id)) => {
                let stream_id = StreamId::new(&stream_id)
                    .map_err(|e| Problem::bad_request("INVALID_STREAM_ID", e.to_string()))?;
                let applied =
                    handle.when_applied(&name, &stream_id, ChangesetId::new(changeset_id.get()), timeout);
                applied.await.map_err(Problem::from)
            }
            _ => Err(Problem::bad_request(
                "INVALID_WAIT",
                "Give either `min_checkpoint`, or `stream_id` and `changeset_id`.",
            )),
        }
    };
    tokio::select! {
        waited = waited => waited?,
        () = closing.closed() => {
            return Err(OperateError::Unavailable("the server is shutting down".to_owned()).into());
        }
    }
    Ok(Json(handle.status(&name).await?))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Parked {
    parked: Vec<ParkedStream>,
}

/// The parked streams, in the order in which they are retried.
#[utoipa::path(
    get, path = "/projections/{name}/parked", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses((status = 200, description = "The parked streams.", body = Parked), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn parked(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<Parked>, Problem> {
    Ok(Json(Parked { parked: handle.parked(&name).await? }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only effects of events of this stream.
    #[param(value_type = Option<StreamId>)]
    stream_id: Option<String>,
    /// Only effects in this state.
    #[param(value_type = Option<EffectState>)]
    state: Option<String>,
    /// The most effects to return, up to 1,000. Default: 100.
    #[param(inline)]
    limit: Option<Number<1>>,
}

/// A limit that was given; a larger one than this means this one.
fn limit(given: Option<Number<1>>, max: usize) -> Option<usize> {
    given.map(|limit| usize::try_from(limit.get()).unwrap_or(max).min(max))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Effects {
    effects: Vec<Effect>,
}

/// The effects in a reactor's ledger, the latest start first.
#[utoipa::path(
    get, path = "/projections/{name}/effects", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection."), Which),
    responses(
        (status = 200, description = "The effects.", body = Effects),
        (status = 400, description = "`INVALID_QUERY`: the state is unknown, or the limit is not 1 or more"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
    )
)]
pub(super) async fn effects(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Effects>, Problem> {
    let Query(which) = query.map_err(|e| Problem::bad_request("INVALID_QUERY", e.body_text()))?;
    let state = which.state.map(|text| text.parse::<EffectState>()).transpose();
    let wanted = EffectQuery {
        stream_id: which.stream_id.map(|text| stream(&text)).transpose()?,
        state: state.map_err(|e| Problem::bad_request("INVALID_QUERY", e.to_string()))?,
        limit: limit(which.limit, EFFECTS_MAX).unwrap_or(EffectQuery::default().limit),
    };
    Ok(Json(Effects { effects: handle.effects(&name, wanted).await? }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichTimers {
    /// Only timers of this stream.
    #[param(value_type = Option<StreamId>)]
    stream_id: Option<String>,
    /// The most timers to return, up to 1,000. Default: 100.
    #[param(inline)]
    limit: Option<Number<1>>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Timers {
    timers: Vec<Timer>,
}

/// The timers that a reactor has set, those first that fire first.
#[utoipa::path(
    get, path = "/projections/{name}/timers", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection."), WhichTimers),
    responses(
        (status = 200, description = "The timers.", body = Timers),
        (status = 400, description = "`INVALID_QUERY`: the limit is not 1 or more"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
    )
)]
pub(super) async fn timers(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    query: Result<Query<WhichTimers>, QueryRejection>,
) -> Result<Json<Timers>, Problem> {
    let Query(which) = query.map_err(|e| Problem::bad_request("INVALID_QUERY", e.body_text()))?;
    let wanted = TimerQuery {
        stream_id: which.stream_id.map(|text| stream(&text)).transpose()?,
        limit: limit(which.limit, TIMERS_MAX).unwrap_or(TimerQuery::default().limit),
        ..TimerQuery::default()
    };
    Ok(Json(Timers { timers: handle.timers(&name, wanted).await? }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditPage {
    /// The most entries to return, up to 1,000. Default: 100.
    #[param(inline)]
    limit: Option<Number<1>>,
    /// The number of entries to leave out, from the newest on, up to 1,000: the `next` of the page before. Default:
    /// 0.
    #[param(maximum = 1000)]
    skip: Option<usize>,
}

impl AuditPage {
    /// The number of entries to leave out, and the number of those and the page's together.
    fn bounds(given: Result<Query<Self>, QueryRejection>) -> Result<(usize, usize), Problem> {
        let invalid = |why: String| Problem::bad_request("INVALID_QUERY", why);
        let Query(Self { limit, skip }) = given.map_err(|e| invalid(e.body_text()))?;
        let skip = skip.unwrap_or(0);
        if skip > AUDIT_SKIP_MAX {
            return Err(invalid(format!("`skip` must be {AUDIT_SKIP_MAX} at most.")));
        }
        Ok((skip, skip + self::limit(limit, AUDIT_ENTRIES_MAX).unwrap_or(AUDIT_ENTRIES)))
    }

    /// The page of entries that were read up to one more than its end, which tells whether there is a next one; and
    /// where that begins.
    fn cut<T>(mut entries: Vec<T>, (skip, end): (usize, usize)) -> (Vec<T>, Option<usize>) {
        let next = (entries.len() > end && end <= AUDIT_SKIP_MAX).then_some(end);
        entries.truncate(end);
        entries.drain(..skip.min(entries.len()));
        (entries, next)
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Audit {
    audit: Vec<AuditEntry>,
    /// What to `skip` for the next page; absent on the last one, and where it would be over 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<usize>,
}

/// The audit: what operators did to a projection and why, newest first.
#[utoipa::path(
    get, path = "/projections/{name}/audit", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection."), AuditPage),
    responses(
        (status = 200, description = "A page of the audit.", body = Audit),
        (status = 400, description = "`INVALID_QUERY`: not a number, or too large"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
    )
)]
pub(super) async fn audit(
    State(handle): State<Handle>,
    Path(name): Path<String>,
    query: Result<Query<AuditPage>, QueryRejection>,
) -> Result<Json<Audit>, Problem> {
    let bounds = AuditPage::bounds(query)?;
    let (audit, next) = AuditPage::cut(handle.audit(&name, bounds.1 + 1).await?, bounds);
    Ok(Json(Audit { audit, next }))
}

/// An entry of the audit of all projections.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditOfAllEntry {
    /// The projection or reactor, with `__standby` after it for its standby.
    projection: String,
    #[schema(inline)]
    #[serde(flatten)]
    entry: AuditEntry,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditOfAll {
    audit: Vec<AuditOfAllEntry>,
    /// What to `skip` for the next page; absent on the last one, and where it would be over 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<usize>,
}

/// The audit of all projections and reactors of this server: what operators did and why, newest first.
#[utoipa::path(
    get, path = "/audit", tag = "projections", operation_id = "audit_of_all", params(AuditPage),
    responses(
        (status = 200, description = "A page of the audit.", body = AuditOfAll),
        (status = 400, description = "`INVALID_QUERY`: not a number, or too large"),
    )
)]
pub(super) async fn audit_of_all(
    State(handle): State<Handle>,
    query: Result<Query<AuditPage>, QueryRejection>,
) -> Result<Json<AuditOfAll>, Problem> {
    let bounds = AuditPage::bounds(query)?;
    let entries = handle.audit_of_all(bounds.1 + 1).await?.into_iter();
    let entries = entries.map(|(projection, entry)| AuditOfAllEntry { projection, entry }).collect();
    let (audit, next) = AuditPage::cut(entries, bounds);
    Ok(Json(AuditOfAll { audit, next }))
}

/// The progress or the result of the last verification on this server; `null` when there was none.
#[utoipa::path(
    get, path = "/projections/{name}/verification", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses((status = 200, description = "The verification, or `null`.", body = Option<Verification>), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn verification(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<Option<Verification>>, Problem> {
    Ok(Json(handle.verification(&name)?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichRow {
    /// The key of the row, as text.
    key: String,
    /// The table. Default: the only one of the projection.
    table: Option<String>,
    /// The most steps to return, up to 1,000: the first half and the last half of that number. Default: 100.
    #[param(inline)]
    steps: Option<Number<1>>,
}

/// Why a row of a read model is as it is: the events that made it.
///
/// The projection's own code is run again, in memory, on the events up to its position: on those of one stream where
/// that is enough, and otherwise on all that it subscribes to. That may take minutes. One row of a projection is
/// explained at a time.
#[utoipa::path(
    get, path = "/projections/{name}/explain", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection."), WhichRow),
    responses(
        (status = 200, description = "The explanation. A row that no event has made has no steps.", body = Explanation),
        (status = 400, description = "`INVALID_QUERY`: the key is missing, or the number of steps is not 1 or more"),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_SUPPORTED`: the projection has statements of its own; `NOT_POSSIBLE`: the key does not fit the table, or there is no such table, or the name is that of a reactor"),
    )
)]
pub(super) async fn explain(
    State(handle): State<Handle>,
    admission: Admission,
    Path(name): Path<String>,
    query: Result<Query<WhichRow>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    let Query(WhichRow { key, table, steps }) =
        query.map_err(|e| Problem::bad_request("INVALID_QUERY", e.body_text()))?;
    admission.waits(OPERATION_MAX)?;
    let wanted = Explain::key(key);
    let steps_max = limit(steps, EXPLAINED_STEPS_MAX).unwrap_or(wanted.steps_max);
    Ok(Json(handle.explain(&name, Explain { table, steps_max, ..wanted }).await?))
}

/// How far the replay is for the explanation of a row that is in progress; `null` if none is, and while one waits for its
/// turn or replays one stream only.
#[utoipa::path(
    get, path = "/projections/{name}/explain/progress", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses((status = 200, description = "The progress, or `null`.", body = Option<ExplainProgress>), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn explain_progress(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<Option<ExplainProgress>>, Problem> {
    Ok(Json(handle.explain_progress(&name)?))
}

/// The progress or the result of the last copy of the read model as it was that was begun on this server; `null` when
/// there was none.
#[utoipa::path(
    get, path = "/projections/{name}/as-of", tag = "projections", operation_id = "as_of", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses((status = 200, description = "The progress, or `null`.", body = Option<AsOfStatus>), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn as_of(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<Option<AsOfStatus>>, Problem> {
    Ok(Json(handle.as_of_status(&name)?))
}

/// Compares the fingerprint that the projection keeps with its rows, which are read once: are they those that the
/// projection has written?
///
/// The status has the fingerprint too, to compare two copies at the same checkpoint.
#[utoipa::path(
    get, path = "/projections/{name}/fingerprint", tag = "projections", operation_id = "check_fingerprint", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses(
        (status = 200, description = "Both fingerprints.", body = FingerprintCheck),
        (status = 404, description = "`PROJECTION_NOT_FOUND`"),
        (status = 409, description = "`NOT_SUPPORTED`: the projection keeps no fingerprint; `NOT_POSSIBLE`: its rows are older than its fingerprint, so that it has to be rebuilt"),
    )
)]
pub(super) async fn fingerprint(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<FingerprintCheck>, Problem> {
    Ok(Json(handle.verify_quickly(&name).await?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichChangeset {
    /// The stream.
    #[param(value_type = StreamId)]
    stream_id: String,
    /// The number of the changeset in the stream.
    #[param(inline)]
    changeset_id: Number,
}

/// What each projection and reactor of this server did with a changeset, and when, as far as that is known.
///
/// No write is made for each changeset. So the time at which it was passed lies between two others: its commit, what
/// operators did, and now.
#[utoipa::path(
    get, path = "/passed", tag = "projections", params(WhichChangeset),
    responses(
        (status = 200, description = "What each of them did.", body = Passed),
        (status = 400, description = "`INVALID_QUERY`: a parameter is missing; `INVALID_STREAM_ID`"),
        (status = 404, description = "`CHANGESET_NOT_FOUND`: the log does not have it, or not yet"),
    )
)]
pub(super) async fn passed(
    State(handle): State<Handle>,
    query: Result<Query<WhichChangeset>, QueryRejection>,
) -> Result<Json<Passed>, Problem> {
    let Query(WhichChangeset { stream_id, changeset_id }) =
        query.map_err(|e| Problem::bad_request("INVALID_QUERY", e.body_text()))?;
    match handle.passed(&stream(&stream_id)?, ChangesetId::new(changeset_id.get())).await {
        Err(none @ OperateError::NoChangeset { .. }) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "CHANGESET_NOT_FOUND", none.to_string()))
        }
        passed => Ok(Json(passed?)),
    }
}

/// The estimated time and space of a rebuild.
#[utoipa::path(
    get, path = "/projections/{name}/estimate", tag = "projections", params(("name" = inline(ProjectionName), Path, description = "The name of the projection.")),
    responses((status = 200, description = "The estimate.", body = Estimate), (status = 404, description = "`PROJECTION_NOT_FOUND`"))
)]
pub(super) async fn estimate(
    State(handle): State<Handle>,
    Path(name): Path<String>,
) -> Result<Json<Estimate>, Problem> {
    Ok(Json(handle.estimate(&name).await?))
}
