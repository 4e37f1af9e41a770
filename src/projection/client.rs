//! Calls to one projection or reactor of the server.

use std::time::{Duration, Instant};

use ees_projector::{ParkedStream, Status};
use ees_store::client::Client;
use ees_store::{ChangesetId, Checkpoint, Error, StreamId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::Outcome;

/// The longest wait of one call. A longer wait takes several calls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often to poll the progress of a long operation.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) struct ProjectionClient {
    client: Client,
    name: String,
}

/// What to wait for.
pub(crate) enum Until {
    /// The projection has applied the changeset at this checkpoint.
    Checkpoint(Checkpoint),
    /// The projection has applied this changeset.
    Changeset { stream_id: StreamId, changeset_id: ChangesetId },
}

#[derive(Deserialize)]
struct Parked {
    parked: Vec<ParkedStream>,
}

impl ProjectionClient {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    pub(crate) async fn status(&self) -> Outcome<Status> {
        Ok(self.client.get_json(&self.path("")).await?)
    }

    /// The status once the projection has reached `until`. Fails with exit code 8 if that takes longer than
    /// `timeout`.
    pub(crate) async fn status_at(&self, until: &Until, timeout: Duration) -> Outcome<Status> {
        let query = match until {
            Until::Checkpoint(checkpoint) => format!("min_checkpoint={checkpoint}"),
            Until::Changeset { stream_id, changeset_id } => {
                format!("stream_id={}&changeset_id={changeset_id}", encoded(stream_id.as_str()))
            }
        };
        let started = Instant::now();
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            let wait = left.min(WAIT_MAX);
            let path = self.path(&format!("?{query}&timeout={:.3}", wait.as_secs_f64()));
            match self.client.get_json_after(&path, wait).await {
                Err(Error::Answered { status: 504, .. }) if left > WAIT_MAX => {}
                answer => return Ok(answer?),
            }
        }
    }

    pub(crate) async fn parked(&self) -> Outcome<Vec<ParkedStream>> {
        let Parked { parked } = self.get("parked").await?;
        Ok(parked)
    }

    /// Reads `/projections/NAME/RESOURCE`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, resource: &str) -> Outcome<T> {
        Ok(self.client.get_json(&self.path(&format!("/{resource}"))).await?)
    }

    /// Posts to `/projections/NAME/ACTION`.
    pub(crate) async fn post<T: DeserializeOwned>(&self, action: &str, body: &Value) -> Outcome<T> {
        Ok(self.client.post_json(&self.path(&format!("/{action}")), body).await?)
    }

    fn path(&self, rest: &str) -> String {
        format!("/projections/{}{rest}", encoded(&self.name))
    }
}

/// As a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
