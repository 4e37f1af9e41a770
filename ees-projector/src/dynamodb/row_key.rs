//! Where the projections' rows are, and those of their workers.

use crate::read_model_id::ReadModelId;

/// The key of a projection's row.
pub(super) const STATE: &str = "control";

/// The prefix of the keys of the workers' rows.
pub(super) const WORKER: &str = "worker/";

/// The partition of a projection's row. No table's partition begins with `!`.
pub(super) fn home(name: &str) -> String {
    format!("!{name}")
}

/// The partition and the key of a read model's row, or of the row of one of its workers.
pub(super) fn row_of(model: &ReadModelId) -> (String, String) {
    let key = worker_of(model).map_or_else(|| STATE.to_owned(), |worker| format!("{WORKER}{worker:0>3}"));
    (home(model.name()), key)
}

/// The number of a worker, if the row is that of one.
pub(super) fn worker_of(model: &ReadModelId) -> Option<&str> {
    model.key().strip_prefix(model.name())?.strip_prefix('/')
}
