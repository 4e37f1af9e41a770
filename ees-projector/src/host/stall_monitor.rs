//! Logs a warning for each stalled projection, again and again, so that an operator notices it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::host::handle::Handle;

/// The delay between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The number of looks between two warnings about the same projection.
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
                    "the projection is stalled"
                );
            }
            *looks += 1;
        }
    }
}
