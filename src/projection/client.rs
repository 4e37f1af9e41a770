//! Calls to one projection or reactor of the server.

use std::time::{Duration, Instant};

use ees_projector::{Kind, ParkedStream, State, Status};
use ees_store::client::{CallError, Client};
use ees_store::{ChangesetId, Checkpoint, Error, StreamId};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::exit::{Exit, Failure, Outcome};
use crate::hint;
use crate::remote::Remote;

/// The longest wait of one call. A longer wait takes several calls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest time that the server takes for a long answer.
const LONG: Duration = Duration::from_secs(10 * 60);

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
struct Projections {
    projections: Vec<Status>,
}

#[derive(Deserialize)]
struct Parked {
    parked: Vec<ParkedStream>,
}

impl ProjectionClient {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The reactor with this name. Fails if it is a projection.
    pub(crate) async fn reactor(remote: &Remote, name: String) -> Outcome<Self> {
        let reactor = Self::new(remote.client().await?, name);
        reactor.check_is(Kind::Reactor).await?;
        Ok(reactor)
    }

    /// All projections and reactors of the server.
    pub(crate) async fn all(client: &Client) -> Outcome<Vec<Status>> {
        let Projections { projections } = client.get_json("/projections").await.map_err(failed)?;
        Ok(projections)
    }

    pub(crate) async fn status(&self) -> Outcome<Status> {
        self.explained(self.client.get_json(&self.path("")).await).await
    }

    /// Fails if nothing is applied at present, and nothing will be unless somebody does something about it.
    pub(crate) async fn check_is_running(&self) -> Outcome {
        let Status { name, state, stalled, .. } = self.status().await?;
        let state = match state {
            State::Paused => "paused",
            State::Stopped => "stopped",
            _ => return Ok(()),
        };
        let why = stalled.map(|why| format!(": {why}")).unwrap_or_default();
        Err(Failure::new(Exit::Refused, "NOT_POSSIBLE", format!("\"{name}\" is {state}{why}"))
            .with_hint(format!("`ees projections status {name}` shows why; or leave out --wait-for")))
    }

    /// Fails if this is a projection where a reactor is needed, or the other way round.
    pub(crate) async fn check_is(&self, wanted: Kind) -> Outcome {
        let Status { name, kind, .. } = self.status().await?;
        if kind == wanted {
            return Ok(());
        }
        let (code, what, shown) = match kind {
            Kind::Projection => {
                ("NOT_A_REACTOR", "a projection and has no effects", format!("ees projections status {name}"))
            }
            Kind::Reactor => {
                ("NOT_A_PROJECTION", "a reactor and has no read model", format!("ees effects list {name}"))
            }
        };
        let failure = Failure::new(Exit::Refused, code, format!("\"{name}\" is {what}"));
        let names = names(&Self::all(&self.client).await?);
        Err(failure.with_hint(format!("`{shown}` shows it; {names}")))
    }

    /// Adds the name that was probably meant where there is no such name.
    async fn explained<T>(&self, answer: Result<T, CallError>) -> Outcome<T> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.not_found(error).await),
        }
    }

    /// The failure; where there is no such projection, with the name that was probably meant.
    pub(crate) async fn not_found(&self, error: CallError) -> Failure {
        let failure = failed(error);
        if failure.code() != "PROJECTION_NOT_FOUND" {
            return failure;
        }
        // Without the hint, the failure itself still says what is wrong.
        let Ok(all) = Self::all(&self.client).await else { return failure };
        match hint::similar(&self.name, all.iter().map(|status| status.name.as_str())) {
            Some(name) => failure.with_hint(format!("did you mean \"{name}\"?")),
            // The message has the names of all.
            None => failure,
        }
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
                Err(CallError { error: Error::Answered { status: 504, .. }, .. }) if left > WAIT_MAX => {}
                answer => return self.explained(answer).await,
            }
        }
    }

    pub(crate) async fn parked(&self) -> Outcome<Vec<ParkedStream>> {
        let Parked { parked } = self.get("parked").await?;
        Ok(parked)
    }

    /// Reads `/projections/NAME/RESOURCE`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, resource: &str) -> Outcome<T> {
        self.explained(self.client.get_json(&self.path(&format!("/{resource}"))).await).await
    }

    /// Reads `/projections/NAME/RESOURCE`, which may take the server minutes.
    pub(crate) async fn get_after_long<T: DeserializeOwned>(&self, resource: &str) -> Outcome<T> {
        let path = self.path(&format!("/{resource}"));
        self.explained(self.client.get_json_after(&path, LONG).await).await
    }

    /// Posts to `/projections/NAME/ACTION`.
    pub(crate) async fn post<T: DeserializeOwned>(&self, action: &str, body: &Value) -> Outcome<T> {
        self.explained(self.client.post_json(&self.path(&format!("/{action}")), body).await).await
    }

    fn path(&self, rest: &str) -> String {
        format!("/projections/{}{rest}", encoded(&self.name))
    }
}

/// The failure of a call about projections. Not every server has any that can be asked.
pub(crate) fn failed(error: CallError) -> Failure {
    #[derive(Deserialize)]
    struct Nowhere {
        error: Option<String>,
        message: String,
    }
    let body = error.body.as_ref().and_then(|body| body.read::<Nowhere>().ok());
    let is_nowhere = body.is_some_and(|body| body.error.is_none() && body.message == "Invalid endpoint");
    if !is_nowhere {
        return error.into();
    }
    Failure::not_possible_here(error.error).with_hint(
        "this server has no routes for projections, reactors and timers: it is a store alone, or a stack on AWS of an \
         older version. What is your own is operated where it runs: a function, at the output ApiEndpoint of its stack",
    )
}

/// `projections: a, b; reactors: c`.
fn names(all: &[Status]) -> String {
    let of = |kind, what: &str| {
        let names: Vec<_> =
            all.iter().filter(|status| status.kind == kind).map(|status| status.name.as_str()).collect();
        if names.is_empty() {
            format!("there are no {what} here")
        } else {
            format!("{what}: {}", names.join(", "))
        }
    };
    format!("{}; {}", of(Kind::Projection, "projections"), of(Kind::Reactor, "reactors"))
}

/// As a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
