//! Waiting until a projection has got somewhere: for reading one's own writes.

use std::time::{Duration, Instant};

use ees_projector::Status;
use ees_store::client::Client;
use ees_store::{ChangesetId, Checkpoint, Error, StreamId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::path;
use crate::exit::Outcome;

/// The longest wait of one call. A longer one takes several.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What to wait for.
pub(crate) enum Until {
    /// Nothing.
    Now,
    /// The changeset at this checkpoint is applied.
    Checkpoint(Checkpoint),
    /// This changeset is applied.
    Changeset { stream_id: StreamId, changeset_id: ChangesetId },
}

/// The status of a projection once it has got there.
///
/// # Errors
/// It did not get there in time.
pub(crate) async fn status_once(
    client: &Client,
    name: &str,
    until: &Until,
    timeout: Duration,
) -> Outcome<Status> {
    let what = match until {
        Until::Now => return Ok(client.get_json(&path(name)).await?),
        Until::Checkpoint(checkpoint) => format!("min_checkpoint={checkpoint}"),
        Until::Changeset { stream_id, changeset_id } => {
            let stream_id = utf8_percent_encode(stream_id.as_str(), NON_ALPHANUMERIC);
            format!("stream_id={stream_id}&changeset_id={changeset_id}")
        }
    };
    let begun = Instant::now();
    loop {
        let left = timeout.saturating_sub(begun.elapsed());
        let wait = left.min(WAIT_MAX);
        let call = format!("{}?{what}&timeout={:.3}", path(name), wait.as_secs_f64());
        match client.get_json_after(&call, wait).await {
            Err(Error::Answered { status: 504, .. }) if left > WAIT_MAX => {}
            answered => return Ok(answered?),
        }
    }
}
