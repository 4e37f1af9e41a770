//! `GET /dead-letters` and `POST /dead-letters/redrive`: messages that a topic rejected.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use ees_store::EventStore;
use ees_store::http::{Api, JsonBody, Problem, Scope};
use ees_store::publish::DeadLetter;
use ees_store::publish::sns::Publisher;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::operation;
use crate::sqs::{DeadLetterQueue, QueueError, Redrive, WaitingLetter};

/// The most letters of an answer, and some of the last batch.
const LETTERS_MAX: usize = 100;

/// Adds `GET /dead-letters` and `POST /dead-letters/redrive` to a store's API, for callers with the scope admin:
/// the letters of this queue, and publishing them again. The changesets come from this store.
#[must_use]
pub fn install_dead_letters(
    api: Api,
    queue: DeadLetterQueue,
    publisher: Publisher,
    store: Arc<dyn EventStore>,
) -> Api {
    let letters = Arc::new(Letters { queue, publisher, store, turn: Mutex::default() });
    let routes = OpenApiRouter::new().routes(routes!(list)).routes(routes!(redrive)).with_state(letters);
    api.with_routes(Scope::Admin, routes.route_layer(from_fn(operation)))
}

struct Letters {
    queue: DeadLetterQueue,
    publisher: Publisher,
    store: Arc<dyn EventStore>,
    /// Who lists hides letters for a while, so two take turns.
    turn: Mutex<()>,
}

/// Messages that a topic rejected.
#[derive(Serialize, ToSchema)]
struct DeadLetters {
    /// The queue that keeps them.
    queue: String,
    dead_letters: Vec<Letter>,
    /// Whether there may be more of them.
    has_more: bool,
}

/// A message that a topic rejected, or another message in the queue.
#[derive(Serialize, ToSchema)]
struct Letter {
    /// The id that the queue gave to it.
    id: String,
    /// The topic that it was for.
    topic_arn: Option<String>,
    stream_id: Option<String>,
    changeset_id: Option<u64>,
    /// The event, if the message was about one.
    event_id: Option<u64>,
    /// The topic's error.
    error: Option<String>,
    /// When it was recorded.
    at: Option<String>,
    /// The text of a message that is no dead letter.
    unreadable: Option<String>,
}

impl From<&WaitingLetter> for Letter {
    fn from(waiting: &WaitingLetter) -> Self {
        let known = waiting.letter.as_ref();
        let text = |of: fn(&DeadLetter) -> &str| known.map(|letter| of(letter).to_owned());
        Self {
            id: waiting.id().to_owned(),
            topic_arn: text(|letter| &letter.topic_arn),
            stream_id: text(|letter| &letter.stream_id),
            changeset_id: known.map(|letter| letter.changeset_id.get()),
            event_id: known.and_then(|letter| letter.event_id).map(|event| event.get()),
            error: text(|letter| &letter.error),
            at: known.map(|letter| letter.at.to_string()),
            unreadable: known.is_none().then(|| waiting.body().to_owned()),
        }
    }
}

/// What became of the dead letters.
#[derive(Serialize, ToSchema)]
struct RedriveOutcome {
    /// How many were published and removed from the queue.
    published: u64,
    /// Those that stay in the queue.
    left: Vec<LeftLetter>,
    /// Whether there may be more: redrive again.
    has_more: bool,
}

/// A letter that stays in the queue.
#[derive(Serialize, ToSchema)]
struct LeftLetter {
    #[serde(flatten)]
    letter: Letter,
    why: String,
}

/// No members.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = RedriveRequest)]
struct Nothing {}

/// The messages that a topic rejected, and that the queue of dead letters keeps.
///
/// They stay in the queue; others can't take them for a moment.
#[utoipa::path(
    get, path = "/dead-letters", tag = "operation", operation_id = "dead_letters",
    responses(
        (status = 200, description = "The dead letters, at most some 100.", body = DeadLetters),
        (status = 503, description = "`UNAVAILABLE`: the queue can't be read"),
    )
)]
async fn list(State(letters): State<Arc<Letters>>) -> Result<Json<DeadLetters>, Problem> {
    let _turn = letters.turn.lock().await;
    let listed = letters.queue.list(LETTERS_MAX).await?;
    Ok(Json(DeadLetters {
        queue: letters.queue.url().to_owned(),
        dead_letters: listed.iter().map(Letter::from).collect(),
        has_more: listed.len() >= LETTERS_MAX,
    }))
}

/// Publishes the dead letters again, some 100 of them. Those that the topic takes are removed from the queue.
#[utoipa::path(
    post, path = "/dead-letters/redrive", tag = "operation", operation_id = "redrive_dead_letters",
    request_body = Nothing,
    responses(
        (status = 200, description = "What became of them.", body = RedriveOutcome),
        (status = 503, description = "`UNAVAILABLE`: the queue can't be read"),
    )
)]
async fn redrive(
    State(letters): State<Arc<Letters>>,
    JsonBody(Nothing {}): JsonBody<Nothing>,
) -> Result<Json<RedriveOutcome>, Problem> {
    // Carried out to its end, also when nobody waits for the answer.
    let carried_out = tokio::spawn(async move {
        let _turn = letters.turn.lock().await;
        let mut redrive = Redrive::of(&letters.queue, &letters.publisher, &*letters.store);
        let mut outcome = RedriveOutcome { published: 0, left: Vec::new(), has_more: true };
        for _ in 0..LETTERS_MAX / 10 {
            let redriven = redrive.next().await?;
            if redriven.is_empty() {
                outcome.has_more = false;
                break;
            }
            for done in redriven {
                match done.result {
                    Ok(()) => outcome.published += 1,
                    Err(why) => outcome.left.push(LeftLetter { letter: (&done.letter).into(), why }),
                }
            }
        }
        tracing::info!(published = outcome.published, left = outcome.left.len(), "redrove dead letters");
        Ok::<_, QueueError>(outcome)
    });
    Ok(Json(carried_out.await.map_err(Problem::internal)??))
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        let message = format!("The queue of dead letters: {error}.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    }
}
