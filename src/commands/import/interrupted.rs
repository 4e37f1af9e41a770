//! Ctrl-C and SIGTERM during an import.

use crate::exit::{Exit, Failure, Outcome};
use crate::signals;

/// Resolves when the process is asked to end. What is in flight is finished then; a second signal ends the process
/// at once.
pub(super) fn interrupted() -> Outcome<impl Future<Output = Failure>> {
    let stop_requested = signals::listen()?;
    Ok(async {
        stop_requested.await;
        Failure::new(Exit::Interrupted, "INTERRUPTED", "interrupted")
    })
}
