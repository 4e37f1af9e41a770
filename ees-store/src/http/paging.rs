//! What all answers with a list have in common: `limit` and `include`.

use super::Problem;
use super::query::Params;
use crate::Changeset;

/// Entries of a page at most; a larger `limit` means this one.
pub(super) const LIMIT_MAX: usize = 1_000;

/// How many entries are wanted at most.
pub(super) fn limit(params: &Params) -> Result<Option<usize>, Problem> {
    let refuse = |text: &str| {
        let what = "is an invalid limit value. Expected an integer value greater than 0.";
        Problem::bad_request("INVALID_LIMIT", format!("\"{text}\" {what}")).naming("limit", what.to_owned())
    };
    match params.whole("limit").map_err(refuse)? {
        Some(limit) if limit.is_zero() => Err(refuse(params.get("limit").unwrap_or("0"))),
        limit => Ok(limit.map(|limit| usize::try_from(limit.get()).unwrap_or(LIMIT_MAX).min(LIMIT_MAX))),
    }
}

/// Whether `include=position` is asked for.
pub(super) fn positions(params: &Params) -> Result<bool, Problem> {
    match params.get("include") {
        None => Ok(false),
        Some("position") => Ok(true),
        Some(text) => {
            let what = "is an invalid include value. Expected \"position\".";
            Err(Problem::bad_request("INVALID_INCLUDE", format!("\"{text}\" {what}")))
        }
    }
}

/// Bytes to set aside for an answer with these changesets.
pub(super) fn capacity<'a>(changesets: impl IntoIterator<Item = &'a Changeset>) -> usize {
    256 + changesets.into_iter().map(|changeset| changeset.size_bytes() + 256).sum::<usize>()
}
