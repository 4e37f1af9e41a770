//! Nobody finds out late: a projection that stands still is said in the log, again and again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::host::handle::Handle;

/// How often the monitor looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it repeats itself, in looks.
const REPEAT_EVERY: u32 = 12;

pub(crate) async fn watch(handle: Handle, stop: CancellationToken) {
    let mut said = std::collections::HashMap::<String, u32>::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let list = tokio::select! {
            () = stop.cancelled() => return,
            list = handle.list() => list,
        };
        for status in list {
            let Some(why) = status.stalled else {
                said.remove(&status.name);
                continue;
            };
            let looks = said.entry(status.name.clone()).or_default();
            if looks.is_multiple_of(REPEAT_EVERY) {
                tracing::warn!(
                    projection = status.name,
                    checkpoint = status.checkpoint.get(),
                    lag_changesets = status.lag_changesets,
                    lag_seconds = status.lag_seconds,
                    why,
                    "the projection stands still"
                );
            }
            *looks += 1;
        }
    }
}
