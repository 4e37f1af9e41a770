//! What each operation says over HTTP, in each state of a projection: the state after it, or why it is refused.

use std::sync::Arc;

use ees_projector::{Running, SideBySide, StandbyRole, State, Status, http};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::support::Bank;

/// A state of a projection, and what brings it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Following,
    Paused,
    /// With a standby that is complete and was never live.
    Built,
    /// With a standby that was not swapped because it differs.
    Differs,
    /// With a standby that was live.
    Swapped,
}

use Scene::{Built, Differs, Following, Paused, Swapped};

/// An operation, its body, and what it says in each scene: the state, the role of the standby (`-`: none) and
/// whether it was live before; or a part of the refusal.
type Said = (&'static str, fn() -> Value, [(Scene, &'static str); 5]);

const SAID: &[Said] = &[
    (
        "pause",
        || json!({}),
        [
            (Following, "paused -"),
            (Paused, "paused -"),
            (Built, "paused building"),
            (Differs, "paused building, 1 difference"),
            (Swapped, "paused following"),
        ],
    ),
    (
        "resume",
        || json!({}),
        [
            (Following, "running -"),
            (Paused, "running -"),
            (Built, "running building"),
            (Differs, "running building, 1 difference"),
            (Swapped, "running following"),
        ],
    ),
    (
        "rebuild",
        || json!({}),
        [
            (Following, "running -"),
            (Paused, "running -"),
            (Built, "running building"),
            (Differs, "running building, 1 difference"),
            (Swapped, "running following"),
        ],
    ),
    (
        "rebuild",
        || json!({"side_by_side": true, "no_swap": true}),
        [
            (Following, "running building"),
            (Paused, "paused building"),
            (Built, "a standby is being built already"),
            (Differs, "a standby is being built already"),
            (Swapped, "running building"),
        ],
    ),
    (
        "swap",
        || json!({}),
        [
            (Following, "no standby"),
            (Paused, "no standby"),
            (Built, "running following"),
            (Differs, "running following"),
            (Swapped, "was live before: use `rollback`"),
        ],
    ),
    (
        "rollback",
        || json!({}),
        [
            (Following, "no standby"),
            (Paused, "no standby"),
            (Built, "was never live"),
            (Differs, "was never live"),
            (Swapped, "running following"),
        ],
    ),
    (
        "discard",
        || json!({}),
        [
            (Following, "no standby"),
            (Paused, "no standby"),
            (Built, "running -"),
            (Differs, "running -"),
            (Swapped, "running -"),
        ],
    ),
    (
        "partitions",
        || json!({"count": 2}),
        [
            (Following, "running -, 2 partitions"),
            (Paused, "paused -, 2 partitions"),
            (Built, "running building, 2 partitions"),
            (Differs, "running building, 1 difference, 2 partitions"),
            (Swapped, "running following, 2 partitions"),
        ],
    ),
    (
        "skip",
        || json!({"checkpoint": 1, "reason": "r"}),
        [
            (Following, "neither the next one"),
            (Paused, "neither the next one"),
            (Built, "neither the next one"),
            (Differs, "neither the next one"),
            (Swapped, "neither the next one"),
        ],
    ),
    (
        "retry",
        || json!({}),
        [
            (Following, "not parked"),
            (Paused, "not parked"),
            (Built, "not parked"),
            (Differs, "not parked"),
            (Swapped, "not parked"),
        ],
    ),
    (
        "checkpoint",
        || json!({"from": 5, "to": 4, "reason": "r"}),
        [
            (Following, "running -"),
            (Paused, "paused -"),
            (Built, "running building"),
            (Differs, "running building, 1 difference"),
            (Swapped, "running following"),
        ],
    ),
];

/// A projection in a scene, served over HTTP.
struct Stage {
    bank: Bank,
    running: Running,
    client: Client,
    _stop: oneshot::Sender<()>,
}

impl Stage {
    async fn new(scene: Scene) -> Self {
        let (bank, running) = Bank::with_balances().await;
        let handle = running.handle();
        let standby = |role| {
            move |status: &Status| {
                status.standby.as_ref().is_some_and(|it| it.plan.role == role && it.checkpoint.get() == 5)
            }
        };
        let beside = async |wanted: SideBySide| {
            handle.rebuild_side_by_side("balances", wanted, "").await.unwrap();
        };
        match scene {
            Following => {}
            Paused => handle.pause("balances", "").await.unwrap(),
            Built => {
                beside(SideBySide { no_swap: true, ..SideBySide::default() }).await;
                bank.status_when(&running, standby(StandbyRole::Building)).await;
            }
            Differs => {
                bank.run("DELETE FROM balances.balances WHERE key = 'account-1'").await;
                beside(SideBySide { verify: true, ..SideBySide::default() }).await;
                bank.status_when(&running, |status| {
                    status.standby.as_ref().is_some_and(|it| it.plan.note.is_some())
                })
                .await;
            }
            Swapped => {
                beside(SideBySide::default()).await;
                bank.status_when(&running, standby(StandbyRole::Following)).await;
            }
        }
        let router = http::install(Api::new(bank.log.clone(), bank.log.clone()), handle.clone()).router();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(router, async {
            let _ = stopped.await;
        }));
        Self { bank, running, client: Client::builder(&url).retries(0).build().unwrap(), _stop: stop }
    }

    async fn says(&self, operation: &str, body: &Value) -> String {
        let path = format!("/projections/balances/{operation}");
        match self.client.post_json::<_, Status>(&path, body).await {
            Ok(status) => in_words(&status),
            Err(refused) => format!("refused: {refused}"),
        }
    }
}

fn in_words(status: &Status) -> String {
    let mut words = if status.pause.is_some() { "paused " } else { "running " }.to_owned();
    words += match status.standby.as_ref().map(|standby| standby.plan.role) {
        None => "-",
        Some(StandbyRole::Building) => "building",
        Some(StandbyRole::Following) => "following",
    };
    let note = status.standby.as_ref().and_then(|standby| standby.plan.note.as_deref());
    if let Some(note) = note {
        words += &format!(", {}", note.split(" at ").next().unwrap_or_default());
    }
    match status.partitions.len() {
        0 => words,
        count => format!("{words}, {count} partitions"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_what_it_has_done() {
    let mut plays = Vec::new();
    for scene in [Following, Paused, Built, Differs, Swapped] {
        let said = SAID.iter().map(move |(operation, body, said)| {
            let expected = said.iter().find(|(known, _)| *known == scene).unwrap().1;
            (*operation, *body, expected)
        });
        let is_done = |expected: &str| expected.starts_with("running") || expected.starts_with("paused");
        let (done, refused): (Vec<_>, Vec<_>) = said.partition(|(.., expected)| is_done(expected));
        // What is refused changes nothing: one stage is enough for all of it.
        plays.push((scene, refused));
        plays.extend(done.into_iter().map(|it| (scene, vec![it])));
    }
    let plays = futures::stream::iter(plays).for_each_concurrent(6, async |(scene, operations)| {
        let stage = Arc::new(Stage::new(scene).await);
        for (operation, body, expected) in operations {
            let said = stage.says(operation, &body()).await;
            let fits = if said.starts_with("refused") { said.contains(expected) } else { said == expected };
            assert!(fits, "{operation} {} while {scene:?} says \"{said}\", not \"{expected}\"", body());
            let later = stage.running.handle().status("balances").await.unwrap();
            assert!(
                said.starts_with("refused") || in_words(&later) == said,
                "{operation} while {scene:?}: {later:?}"
            );
        }
    });
    plays.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_would_drop_what_others_added_is_a_conflict_until_it_is_forced() {
    let stage = Stage::new(Following).await;
    stage.bank.run("ALTER TABLE balances.balances ADD COLUMN hint text").await;
    let refused = stage.says("rebuild", &json!({})).await;
    assert!(refused.starts_with("refused") && refused.contains("column balances.hint"), "{refused}");
    assert_eq!(stage.says("rebuild", &json!({"force": true})).await, "running -");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_answers_under_its_own_name() {
    let stage = Stage::new(Built).await;
    let shown: Status = stage.client.get_json("/projections/balances__standby").await.unwrap();
    assert_eq!((&*shown.name, shown.checkpoint.get(), shown.standby), ("balances__standby", 5, None));
    let paused: Status =
        stage.client.post_json("/projections/balances__standby/pause", &json!({})).await.unwrap();
    assert_eq!((&*paused.name, paused.state), ("balances__standby", State::Paused));
    let swap = stage.client.post_json::<_, Status>("/projections/balances__standby/swap", &json!({})).await;
    assert!(swap.unwrap_err().to_string().contains("no projection or reactor \"balances__standby\""));
    assert_eq!(stage.says("discard", &json!({})).await, "running -");
    let gone = stage.client.get_json::<Status>("/projections/balances__standby").await;
    assert!(gone.unwrap_err().to_string().contains("has no standby"));
}
